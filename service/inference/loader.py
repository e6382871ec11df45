"""Model loader: opens, verifies and warms up a bundle's sessions.

Failures of the bundle (`BundleError`) and of its surroundings (`Unavailable`) are told apart, since
only the latter may pass.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from models.bundle import Bundle
from models.errors import BundleError, TasteprintError
from service.cores import cores
from service.errors import Unavailable
from service.inference.devices import CPU, CUDA
from service.inference.heads import load_head
from service.inference.model import Model
from service.inference.session import choose_thread_split, open_model, warm_up
from service.inference.thread_split import ThreadSplit
from service.settings import Settings

log = logging.getLogger("tasteprint")

# onnxruntime's errors that a graph causes under any circumstances. Its other ones (Fail,
# RuntimeException) are raised for a lack of memory on a GPU too.
BAD_GRAPH = (
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
)
# A file that another attempt finds as it is; errors such as "too many open files" pass.
BAD_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


@dataclass(frozen=True)
class ModelLoader:
    """Model loader: the settings and the thread split that every model is loaded with."""

    settings: Settings
    split: ThreadSplit

    @classmethod
    def measure(cls, bundles: Iterable[Bundle], settings: Settings) -> ModelLoader:
        """Measure the thread split on the default model, else on the first bundle that runs."""
        default = settings.default_model
        for bundle in sorted(bundles, key=lambda bundle: bundle.card.name != default):
            with contextlib.suppress(Exception):  # a bundle that does not run is refused later
                return cls(settings, choose_thread_split(bundle, settings))
        return cls(settings, ThreadSplit(cores(), 1))

    def load(self, bundle: Bundle, encoder: Model | None) -> Model:
        """Load, verify and warm up a model.

        Parameters
        ----------
        encoder : the loaded encoder of a head, if any

        Raises
        ------
        BundleError
            If the bundle is bad: another attempt would fail too.
        Unavailable
            For any other reason, such as a lack of memory.
        """
        head = bundle.card.head
        try:
            if head is None:
                model = open_model(bundle, self.settings, self.split)
            else:
                model = load_head(bundle, head, encoder, self.settings, self.split)
            return warm_up(model)
        except TasteprintError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and not isinstance(cause, BAD_FILE):
                raise _failure(bundle, cause) from error
            raise
        except Exception as error:  # onnxruntime's errors have no other common base
            raise _failure(bundle, error) from error

    def load_later(self, bundle: Bundle, encoder: Model | None) -> Model:
        """Load a model after the start, where a model without a required GPU is refused.

        Raises
        ------
        BundleError, Unavailable
            As `load`.
        """
        model = self.load(bundle, encoder)
        if self.settings.require_gpu and model.provider != CUDA:
            raise BundleError(
                f"bundle {bundle.card.name}: TASTEPRINT_REQUIRE_GPU is set, and it runs on the CPU",
                value=CPU,
                limit=CUDA,
                remedy="check nvidia-smi, CUDA and cuDNN, or unset TASTEPRINT_REQUIRE_GPU",
            )
        return model


def _failure(bundle: Bundle, error: Exception) -> BundleError | Unavailable:
    """The error to raise for one that is no `TasteprintError`; the log has its text."""
    log.error("loading bundle %s: %s: %s", bundle.card.name, type(error).__name__, error)
    detail = (
        f"bundle {bundle.card.name}: its graph cannot be loaded and run ({type(error).__name__})"
    )
    if isinstance(error, BAD_GRAPH):
        return BundleError(detail)
    return Unavailable(detail, remedy="try again later; the service's log states the error")
