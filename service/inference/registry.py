"""Model registry: reads every bundle, loads the default ones, finds bundles by name or task."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from models.bundle import Bundle, bundle_folders, read
from models.card import Kind
from models.errors import BundleError, TasteprintError
from service.errors import (
    CannotStart,
    ModelRefused,
    OtherSpace,
    UnknownModel,
    UnknownTask,
    WrongModel,
)
from service.inference.devices import CPU, CUDA
from service.inference.loader import ModelLoader
from service.inference.model import Model
from service.settings import Settings

log = logging.getLogger("tasteprint")


@dataclass(frozen=True)
class ModelRegistry:
    """Model registry: the bundles that can be requested, loaded models, and refused bundles.

    Attributes
    ----------
    bundles : by name; a bundle without a model in `loaded` is loaded at its first request
    loaded : models with sessions, by name
    refused : reason by name; a bundle that was refused at its first request is in `bundles` too
    default_names : bundles that their cards mark as default, and TASTEPRINT_DEFAULT_MODEL
    loader : loads the bundles that were not loaded at the start
    """

    bundles: dict[str, Bundle]
    loaded: dict[str, Model]
    refused: dict[str, str]
    default_names: set[str]
    loader: ModelLoader

    @property
    def usable(self) -> list[Bundle]:
        """Bundles that are loaded, or are going to be at their first request."""
        return [bundle for name, bundle in self.bundles.items() if name not in self.refused]

    @property
    def defaults(self) -> list[Model]:
        """Models that answer `/analyze` by default, and that readiness depends on."""
        return [model for name, model in self.loaded.items() if name in self.default_names]

    def find(self, name: str) -> Bundle:
        """The bundle of that name.

        Raises
        ------
        UnknownModel, ModelRefused
        """
        if name in self.refused:
            raise refusal(name, self.refused[name])
        if name in self.bundles:
            return self.bundles[name]
        raise _unknown(name, self.usable)

    def for_task(self, kind: Kind, task: str, name: str | None) -> Bundle:
        """The bundle of that name; without a name, the first of a task in order of preference.

        Default models are preferred to others, and among them the task's namesake.

        Raises
        ------
        UnknownTask, UnknownModel, WrongModel, ModelRefused
        """
        of_kind = [bundle for bundle in self.bundles.values() if bundle.card.kind == kind]
        of_task = {bundle.card.name: bundle for bundle in of_kind if bundle.card.task == task}
        if not of_task:
            tasks = sorted({bundle.card.task for bundle in of_kind})
            raise UnknownTask(
                f"no {kind} has the task {task[:64]!r}",
                value=task[:64],
                limit=", ".join(tasks) or "none",
            )
        if name is None:
            name = min(of_task, key=lambda name: self._preference(name, task))
        elif name not in of_task and name in self.bundles:
            raise WrongModel(
                f"{name} is not a {kind} of the task {task!r}", value=name, limit=", ".join(of_task)
            )
        elif name not in of_task and name not in self.refused:
            raise _unknown(name, of_task.values())
        return self.find(name)

    def _preference(self, name: str, task: str) -> tuple[bool, bool, bool]:
        return name in self.refused, name not in self.default_names, name != task

    def check_space(self, name: str, space: str) -> None:
        """Refuse a model whose embedding does not live in a caller's CF space.

        Parameters
        ----------
        space : digest of the space, or its first digits

        Raises
        ------
        OtherSpace, UnknownModel, ModelRefused
        """
        own = self.find(name).card.space
        if _is_in(own, space):
            return
        states = f"states the CF space {own[:12]}" if own else "states no CF space"
        known = ", ".join(
            bundle.card.name for bundle in self.usable if _is_in(bundle.card.space, space)
        )
        raise OtherSpace(
            f"the card of {name} {states} for its embedding, and your vectors live in "
            f"{space[:12]}: vectors of different spaces have nothing in common",
            value=space,
            limit=own,
            remedy="embed your tracks again with this model, or name the model of your space"
            + (f" ({known})" if known else "")
            + "; GET /models lists them",
        )

    def find_encoder(self, bundle: Bundle) -> Bundle | None:
        """The encoder of a head, if its bundle can be requested."""
        return find_encoder(bundle, self.usable)

    def refuse(self, name: str, error: TasteprintError) -> None:
        """Refuse a bundle from now on."""
        self.refused[name] = _refuse(error)


def _is_in(space: str | None, stated: str) -> bool:
    """Whether a model's space is the one that a caller states by its first digits."""
    return space is not None and space.startswith(stated)


def refusal(name: str, reason: str) -> ModelRefused:
    """The error of a request for a refused bundle."""
    return ModelRefused(f"the model {name} was refused: {reason}", value=name)


def _unknown(name: str, known: Iterable[Bundle]) -> UnknownModel:
    names = ", ".join(bundle.card.name for bundle in known)
    return UnknownModel(f"there is no model {name[:64]!r}", value=name[:64], limit=names)


def load_models(settings: Settings, names: Collection[str] | None = None) -> ModelRegistry:
    """Read and verify every bundle, and load the default ones and the encoders of their heads.

    A bad bundle is refused and the others are used. Bundles that are not needed at the start are
    loaded at their first request.

    Parameters
    ----------
    names : bundles to load in place of the default ones

    Raises
    ------
    CannotStart
        If no bundle can be used, or a GPU is required and not used.
    """
    bundles, refused = read_all(settings.models_dir)
    default_names = {
        name
        for name, bundle in bundles.items()
        if (is_default(bundle, settings) if names is None else name in names)
    }
    first = _needed_at_start(bundles, default_names)
    # Without any default bundle on another one, since the split is measured once.
    loader = ModelLoader.measure(first or bundles.values(), settings)
    loaded: dict[str, Model] = {}
    for bundle in first:
        name, encoder = bundle.card.name, find_encoder(bundle, bundles.values())
        try:
            loaded[name] = loader.load(bundle, loaded.get(encoder.card.name) if encoder else None)
        except TasteprintError as error:
            refused[name] = _refuse(error)
            del bundles[name]
    _check_start(settings, bundles, loaded, refused)
    return ModelRegistry(
        bundles, dict(sorted(loaded.items())), dict(sorted(refused.items())), default_names, loader
    )


def is_default(bundle: Bundle, settings: Settings) -> bool:
    """Whether a bundle is loaded at the start."""
    return bundle.card.default or bundle.card.name == settings.default_model


def read_all(models_dir: Path) -> tuple[dict[str, Bundle], dict[str, str]]:
    """Every bundle by name, and the reasons of those that cannot be read."""
    bundles: dict[str, Bundle] = {}
    refused: dict[str, str] = {}
    for folder in bundle_folders(models_dir):
        try:
            bundles[folder.name] = _read(folder)
        except TasteprintError as error:
            refused[folder.name] = _refuse(error)
    return bundles, refused


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


def _refuse(error: TasteprintError) -> str:
    log.error("refused: %s", error)
    return str(error)


def _needed_at_start(bundles: dict[str, Bundle], default_names: Collection[str]) -> list[Bundle]:
    """The default bundles and the encoders of their heads; heads last, as they need those."""
    defaults = [bundle for name, bundle in bundles.items() if name in default_names]
    encoders = [find_encoder(bundle, bundles.values()) for bundle in defaults]
    needed = {bundle.card.name: bundle for bundle in (*defaults, *encoders) if bundle is not None}
    return sorted(needed.values(), key=lambda bundle: bundle.card.head is not None)


def find_encoder(bundle: Bundle, bundles: Iterable[Bundle]) -> Bundle | None:
    """The encoder of a head among the bundles; None for a bundle that is no head."""
    head = bundle.card.head
    if head is None:
        return None
    encoders = (other for other in bundles if other.card.head is None)
    return next((encoder for encoder in encoders if encoder.digest == head.encoder), None)


def _check_start(
    settings: Settings,
    bundles: dict[str, Bundle],
    loaded: dict[str, Model],
    refused: dict[str, str],
) -> None:
    if not bundles or (refused and not loaded):  # bundles on demand alone are no service
        raise CannotStart(
            f"no bundle in {settings.models_dir} can be used",
            value="; ".join(refused.values()) or "no bundle found",
            remedy="point TASTEPRINT_MODELS_DIR at a folder of bundles",
        )
    named = "default_model" in settings.model_fields_set
    if named and settings.default_model not in bundles.keys() | refused.keys():
        raise CannotStart(
            f"TASTEPRINT_DEFAULT_MODEL names no bundle in {settings.models_dir}",
            value=settings.default_model,
            limit=", ".join(bundles),
            remedy=f"name one of: {', '.join(bundles)}",
        )
    slow = [name for name, model in loaded.items() if model.provider != CUDA]
    if settings.require_gpu and slow:
        raise CannotStart(
            f"TASTEPRINT_REQUIRE_GPU is set, and these models run on the CPU: {', '.join(slow)}",
            value=CPU,
            limit=CUDA,
            remedy="check nvidia-smi, CUDA and cuDNN, or unset TASTEPRINT_REQUIRE_GPU",
        )
