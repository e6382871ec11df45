"""Model registry: loads every bundle, checks the start, finds models by name or task."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from models.bundle import Bundle, bundle_folders, read
from models.card import Kind
from models.errors import BundleError, TasteprintError
from service.errors import CannotStart, UnknownModel, UnknownTask, WrongModel
from service.inference.devices import CPU, CUDA
from service.inference.heads import load_head
from service.inference.model import Model
from service.inference.session import choose_thread_split, open_model, warm_up
from service.inference.thread_split import ThreadSplit
from service.settings import Settings, cores

log = logging.getLogger("tasteprint")


@dataclass(frozen=True)
class ModelRegistry:
    """Model registry: loaded models by name, and refused bundles with the reason."""

    loaded: dict[str, Model]
    refused: dict[str, str]

    def find(self, name: str) -> Model:
        """The model of that name.

        Raises
        ------
        UnknownModel
        """
        if name in self.loaded:
            return self.loaded[name]
        raise _unknown(name, self.loaded)

    def for_task(self, kind: Kind, task: str, name: str | None) -> Model:
        """The model of that name; without a name, the task's namesake, else the first model.

        Raises
        ------
        UnknownTask, UnknownModel, WrongModel
        """
        of_kind = [model for model in self.loaded.values() if model.card.kind == kind]
        of_task = {model.card.name: model for model in of_kind if model.card.task == task}
        if not of_task:
            tasks = sorted({model.card.task for model in of_kind})
            raise UnknownTask(
                f"no {kind} has the task {task[:64]!r}",
                value=task[:64],
                limit=", ".join(tasks) or "none",
            )
        if name is None:
            return of_task.get(task) or next(iter(of_task.values()))
        if name in of_task:
            return of_task[name]
        if name not in self.loaded:
            raise _unknown(name, of_task)
        raise WrongModel(
            f"{name} is not a {kind} of the task {task!r}", value=name, limit=", ".join(of_task)
        )


def _unknown(name: str, known: dict[str, Model]) -> UnknownModel:
    return UnknownModel(f"there is no model {name[:64]!r}", value=name[:64], limit=", ".join(known))


def load_models(settings: Settings) -> ModelRegistry:
    """Load and verify every bundle; a bad bundle is refused and the others are loaded.

    Raises
    ------
    CannotStart
        If no bundle can be used, or a GPU is required and not used.
    """
    bundles: list[Bundle] = []
    refused: dict[str, str] = {}
    for folder in bundle_folders(settings.models_dir):
        try:
            bundles.append(_read(folder))
        except TasteprintError as error:
            refused[folder.name] = _refuse(error)
    loaded: dict[str, Model] = {}
    split = _choose_split(bundles, settings)
    # Bundles without a head first, since they may be the encoder of a head.
    for bundle in sorted(bundles, key=lambda bundle: bundle.card.head is not None):
        try:
            loaded[bundle.card.name] = _load(bundle, loaded, settings, split)
        except TasteprintError as error:
            refused[bundle.card.name] = _refuse(error)
    _check_start(settings, loaded, refused)
    return ModelRegistry(dict(sorted(loaded.items())), dict(sorted(refused.items())))


def _refuse(error: TasteprintError) -> str:
    log.error("refused: %s", error)
    return str(error)


def _check_start(settings: Settings, loaded: dict[str, Model], refused: dict[str, str]) -> None:
    if not loaded:
        raise CannotStart(
            f"no bundle in {settings.models_dir} can be used",
            value="; ".join(refused.values()) or "no bundle found",
            remedy="point TASTEPRINT_MODELS_DIR at a folder of bundles",
        )
    named = "default_model" in settings.model_fields_set
    if named and settings.default_model not in loaded.keys() | refused.keys():
        raise CannotStart(
            f"TASTEPRINT_DEFAULT_MODEL names no bundle in {settings.models_dir}",
            value=settings.default_model,
            limit=", ".join(loaded),
            remedy=f"name one of: {', '.join(loaded)}",
        )
    slow = [name for name, model in loaded.items() if model.provider != CUDA]
    if settings.require_gpu and slow:
        raise CannotStart(
            f"TASTEPRINT_REQUIRE_GPU is set, and these models run on the CPU: {', '.join(slow)}",
            value=CPU,
            limit=CUDA,
            remedy="check nvidia-smi, CUDA and cuDNN, or unset TASTEPRINT_REQUIRE_GPU",
        )


def _read(folder: Path) -> Bundle:
    """Read a bundle; its name must be that of its folder, so that no two bundles share a name."""
    bundle = read(folder)
    if bundle.card.name != folder.name:
        raise BundleError(
            f"bundle {folder.name}: its card names it {bundle.card.name}",
            value=bundle.card.name,
            limit=folder.name,
            remedy="give the folder the name that its card states",
        )
    return bundle


def _choose_split(bundles: list[Bundle], settings: Settings) -> ThreadSplit:
    """Measure on the default model, else on the first that runs; used for all models."""
    for bundle in sorted(bundles, key=lambda bundle: bundle.card.name != settings.default_model):
        with contextlib.suppress(Exception):  # a bundle that does not run is refused later
            return choose_thread_split(bundle, settings)
    return ThreadSplit(cores(), 1)


def _load(
    bundle: Bundle, loaded: dict[str, Model], settings: Settings, split: ThreadSplit
) -> Model:
    """Load, verify and warm up a model; any failure refuses only this bundle."""
    head = bundle.card.head
    try:
        if head is None:
            model = open_model(bundle, settings, split)
        else:
            model = load_head(bundle, head, _find_encoder(head.encoder, loaded), settings, split)
        model = warm_up(model)
    except TasteprintError:
        raise
    except Exception as error:  # onnxruntime's errors have no other common base
        log.error("onnxruntime on bundle %s: %s", bundle.card.name, error)
        raise BundleError(
            f"bundle {bundle.card.name}: its graph cannot be loaded and run "
            f"({type(error).__name__})"
        ) from error
    return model


def _find_encoder(digest: str, loaded: dict[str, Model]) -> Model | None:
    """The loaded model with that digest, if it runs a full graph rather than a head."""
    matching = (model for model in loaded.values() if model.bundle.digest == digest)
    return next((model for model in matching if model.encoder is None), None)
