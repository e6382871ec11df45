"""Load: every bundle of the models' folder, and which of them is meant by a request."""

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
from service.inference.session import Model, open_whole, split_cores, warm_up
from service.inference.thread_split import Split
from service.settings import Settings, cores

log = logging.getLogger("tasteprint")


@dataclass(frozen=True)
class Models:
    """What was found in the models' folder: loaded by name, and refused by name with the reason."""

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
        """The model of that name, or else the task's own, or else the first that does the task.

        Raises
        ------
        UnknownTask, UnknownModel, WrongModel
        """
        of_kind = [model for model in self.loaded.values() if model.card.kind == kind]
        doing = {model.card.name: model for model in of_kind if model.card.task == task}
        if not doing:
            tasks = sorted({model.card.task for model in of_kind})
            raise UnknownTask(
                f"no {kind} does the task {task[:64]!r}",
                value=task[:64],
                limit=", ".join(tasks) or "none",
            )
        if name is None:
            return doing.get(task) or next(iter(doing.values()))
        if name in doing:
            return doing[name]
        if name not in self.loaded:
            raise _unknown(name, doing)
        raise WrongModel(
            f"{name} is no {kind} of the task {task!r}", value=name, limit=", ".join(doing)
        )


def _unknown(name: str, there_are: dict[str, Model]) -> UnknownModel:
    return UnknownModel(
        f"there is no model {name[:64]!r}", value=name[:64], limit=", ".join(there_are)
    )


def load_models(settings: Settings) -> Models:
    """Load and verify every bundle; a bad one is refused and the others go on.

    Raises
    ------
    CannotStart
        Where no bundle is left, or a GPU is required and not used.
    """
    bundles: list[Bundle] = []
    refused: dict[str, str] = {}
    for folder in bundle_folders(settings.models_dir):
        try:
            bundles.append(_read(folder))
        except TasteprintError as error:
            refused[folder.name] = _refuse(error)
    loaded: dict[str, Model] = {}
    split = _split(bundles, settings)
    # Whatever has no head first: it may be what a head is on.
    for bundle in sorted(bundles, key=lambda each: each.card.head is not None):
        try:
            loaded[bundle.card.name] = _load(bundle, loaded, settings, split)
        except TasteprintError as error:
            refused[bundle.card.name] = _refuse(error)
    _check_start(settings, loaded, refused)
    return Models(dict(sorted(loaded.items())), dict(sorted(refused.items())))


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
            f"TASTEPRINT_REQUIRE_GPU is set and these run on the CPU: {', '.join(slow)}",
            value=CPU,
            limit=CUDA,
            remedy="check nvidia-smi, CUDA and cuDNN, or unset TASTEPRINT_REQUIRE_GPU",
        )


def _read(folder: Path) -> Bundle:
    """Read a bundle whose name is its folder's, so that no two bundles have the same."""
    bundle = read(folder)
    if bundle.card.name != folder.name:
        raise BundleError(
            f"bundle {folder.name}: its card names it {bundle.card.name}",
            value=bundle.card.name,
            limit=folder.name,
            remedy="give the folder the name that its card states",
        )
    return bundle


def _split(bundles: list[Bundle], settings: Settings) -> Split:
    """Measured on the default model, else on the first that runs at all, and used for all."""
    for bundle in sorted(bundles, key=lambda each: each.card.name != settings.default_model):
        with contextlib.suppress(Exception):  # a bundle that does not run is refused in its turn
            return split_cores(bundle, settings)
    return Split(cores(), 1)


def _load(bundle: Bundle, loaded: dict[str, Model], settings: Settings, split: Split) -> Model:
    """Load, verify and warm up; whatever fails in it refuses this bundle alone."""
    head = bundle.card.head
    try:
        if head is None:
            model = open_whole(bundle, settings, split)
        else:
            model = load_head(bundle, head, _encoder(head.encoder, loaded), settings, split)
        model = warm_up(model)
    except TasteprintError:
        raise
    except Exception as error:  # onnxruntime's errors share no base but this
        log.error("onnxruntime on bundle %s: %s", bundle.card.name, error)
        raise BundleError(
            f"bundle {bundle.card.name}: its graph cannot be loaded and run "
            f"({type(error).__name__})"
        ) from error
    return model


def _encoder(digest: str, loaded: dict[str, Model]) -> Model | None:
    """The loaded model of that digest, if it runs a graph of its own."""
    mine = (each for each in loaded.values() if each.bundle.digest == digest)
    return next((each for each in mine if each.encoder is None), None)
