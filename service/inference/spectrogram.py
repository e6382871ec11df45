"""Spectrogram sessions: the front end of a model alone, opened at its first request."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models import spectrogram
from models.bundle import Bundle
from models.errors import BundleError
from models.spectrogram import OUTPUT, Spectrogram
from service.errors import NoSpectrogram
from service.inference.devices import CPU
from service.inference.session import session_options

Values = NDArray[np.float32]

log = logging.getLogger("tasteprint")


class SpectrogramSessions:
    """Sessions of spectrogram graphs, on one thread of the CPU: a few milliseconds a window."""

    def __init__(self) -> None:
        self._sessions: dict[str, ort.InferenceSession] = {}

    def run(self, bundle: Bundle, samples: Values) -> Values:
        """The spectrogram of a window: (input_samples,) -> (parts, frames, bands).

        Blocks; call it in a thread.

        Raises
        ------
        NoSpectrogram
        """
        described = describe(bundle)
        session = self._sessions.get(bundle.digest)
        if session is None:
            # Two threads may open one each: both are good, and the later one stays.
            with _refuse_bad_files(bundle):
                content = spectrogram.graph_bytes(bundle, described)
            session = ort.InferenceSession(content, session_options(1), providers=[CPU])
            self._sessions[bundle.digest] = session
        (values,) = session.run([OUTPUT], {bundle.card.input.name: samples[None]})
        return np.asarray(values, np.float32).reshape(described.shape)


def describe(bundle: Bundle) -> Spectrogram:
    """The description of a bundle's spectrogram.

    Raises
    ------
    NoSpectrogram
        Also if the description cannot be used.
    """
    with _refuse_bad_files(bundle):
        found = spectrogram.read(bundle)
    if found is None:
        name = bundle.card.name
        raise NoSpectrogram(f"the bundle {name} has no spectrogram graph", value=name)
    return found


@contextmanager
def _refuse_bad_files(bundle: Bundle) -> Iterator[None]:
    """Bad files of a spectrogram cost the picture: the model itself answers as before."""
    try:
        yield
    except BundleError as error:
        log.error("%s", error)
        name, remedy = bundle.card.name, error.remedy
        raise NoSpectrogram(error.detail, value=name, remedy=remedy) from error
