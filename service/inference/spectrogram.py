"""Spectrogram sessions: the front end of a model alone, opened at its first request."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models import spectrogram
from models.bundle import Bundle
from models.spectrogram import OUTPUT, Spectrogram
from service.errors import NoSpectrogram
from service.inference.devices import CPU
from service.inference.session import session_options

Values = NDArray[np.float32]


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
        BundleError
            If the graph is not the one that its description states.
        """
        described = describe(bundle)
        session = self._sessions.get(bundle.digest)
        if session is None:
            # Two threads may open one each: both are good, and the later one stays.
            content = spectrogram.graph_bytes(bundle, described)
            session = ort.InferenceSession(content, session_options(1), providers=[CPU])
            self._sessions[bundle.digest] = session
        (values,) = session.run([OUTPUT], {bundle.card.input.name: samples[None]})
        return np.asarray(values, np.float32).reshape(described.shape)


def describe(bundle: Bundle) -> Spectrogram:
    """The description of a bundle's spectrogram.

    Raises
    ------
    NoSpectrogram, BundleError
    """
    found = spectrogram.read(bundle)
    if found is None:
        name = bundle.card.name
        raise NoSpectrogram(f"the bundle {name} has no spectrogram graph", value=name)
    return found
