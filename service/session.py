"""Session: the bundles, loaded into onnxruntime, and where they really run."""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from models.bundle import Bundle, bundle_folders, read, verify_session
from models.card import Card
from models.errors import BundleError, TasteprintError
from models.window import Samples
from service.errors import CannotStart, UnknownModel
from service.settings import Settings, cores

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# The exhaustive search takes 20 times as long on each new batch size; TF32 keeps 10 bits of 23.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
ERRORS_ONLY = 3

log = logging.getLogger("tasteprint")

Outputs = dict[str, Samples]


@dataclass(frozen=True)
class Model:
    """A loaded bundle; `provider` is what the session says it uses, not what was asked for."""

    bundle: Bundle
    session: ort.InferenceSession
    provider: str
    max_batch: int

    @property
    def card(self) -> Card:
        return self.bundle.card

    def run(self, windows: Samples) -> Outputs:
        """Every output of the card by name, shape (batch, …), for (batch, window_samples)."""
        names = [tensor.name for tensor in self.card.outputs]
        answers = self.session.run(names, {self.card.input.name: windows})
        return {name: np.asarray(answer) for name, answer in zip(names, answers, strict=True)}


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
        raise UnknownModel(
            f"there is no model {name[:64]!r}", value=name[:64], limit=", ".join(self.loaded)
        )


def load_models(settings: Settings) -> Models:
    """Load and verify every bundle; a bad one is refused and the others go on.

    Raises
    ------
    CannotStart
        Where no bundle is left, or a GPU is required and not used.
    """
    loaded: dict[str, Model] = {}
    refused: dict[str, str] = {}
    for folder in bundle_folders(settings.models_dir):
        try:
            model = _load(_read(folder), settings)
        except TasteprintError as error:
            log.error("refused: %s", error)
            refused[folder.name] = str(error)
        else:
            loaded[model.card.name] = model
    _check_start(settings, loaded, refused)
    return Models(loaded, refused)


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


def _load(bundle: Bundle, settings: Settings) -> Model:
    """Load, verify and warm up; whatever fails in it refuses this bundle alone."""
    try:
        graph = bundle.graph_bytes(bundle.card.graph())
        session = ort.InferenceSession(graph, _options(settings), providers=_providers())
        verify_session(bundle.card, session)
        provider = session.get_providers()[0]
        model = Model(bundle, session, provider, settings.max_batch if provider == CUDA else 1)
        _warm_up(model)
    except TasteprintError:
        raise
    except Exception as error:  # onnxruntime's errors share no base but this
        log.error("onnxruntime on bundle %s: %s", bundle.card.name, error)
        raise BundleError(
            f"bundle {bundle.card.name}: its graph cannot be loaded and run "
            f"({type(error).__name__})"
        ) from error
    return model


def _options(settings: Settings) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = settings.infer_threads or cores()
    # A spinning thread takes the core that a decoder needs: a third more CPU time a clip.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _providers() -> list[str | tuple[str, dict[str, str]]]:
    """CUDA only where there is a device: asked for without one, it prints an alarming error."""
    if CUDA not in ort.get_available_providers() or not cuda_devices():
        return [CPU]
    ort.preload_dlls()
    return [(CUDA, CUDA_OPTIONS), CPU]


def cuda_devices() -> int:
    """Number of CUDA devices that the driver sees; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _warm_up(model: Model) -> None:
    """Run every batch size once: the first of each takes longest on a GPU."""
    for size in range(1, model.max_batch + 1):
        model.run(np.zeros((size, model.card.audio.window_samples), np.float32))
