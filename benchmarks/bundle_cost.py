"""CPU time of each bundle on one core: decoding, and inference as the service runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.decode import in_memory
from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import Windows, read_windows
from models.bundle import Bundle, read
from models.card import AudioInput, Graph, Head, Precision
from service.inference.devices import CPU
from service.inference.session import session_options
from training.leaderboard.cost import median_cpu_ms

FLOAT32: Precision = "float32"


class Inference:
    """A bundle's graphs in one thread: a head runs after the graph of its encoder.

    Parameters
    ----------
    encoder : of a bundle with a head; None if the bundle's full graph runs
    precision : of the encoder's graph, or the full one
    """

    def __init__(self, bundle: Bundle, encoder: Bundle | None, precision: Precision) -> None:
        source = encoder or bundle
        self._outputs = [tensor.name for tensor in source.card.outputs]
        self._session = _open(source, source.card.graph(precision))
        self._head = bundle.card.head if encoder else None
        self._head_session = _open(bundle, self._head) if self._head else None

    def run(self, waveforms: Samples) -> dict[str, Samples]:
        """(1, input_samples) -> (1, dim) by output name."""
        values = self._session.run(self._outputs, {"waveform": waveforms})
        found = dict(zip(self._outputs, values, strict=True))
        if self._head and self._head_session:
            taken = [found[name] for name in self._head.encoder_outputs]
            inputs = {self._head.input_name: np.concatenate(taken, axis=1)}
            names = [output.name for output in self._head_session.get_outputs()]
            found |= zip(names, self._head_session.run(names, inputs), strict=True)
        return found


def _open(bundle: Bundle, graph: Graph | Head) -> ort.InferenceSession:
    return ort.InferenceSession(bundle.graph_bytes(graph), session_options(1), providers=[CPU])


def find_encoder(bundle: Bundle, bundles: Sequence[Bundle]) -> Bundle | None:
    """The bundle that this bundle's head runs on; None without a head or without that bundle."""
    digest = bundle.card.head.encoder if bundle.card.head else None
    return next((other for other in bundles if other.digest == digest), None)


def cost_ms(
    folders: Sequence[Path],
    precisions: Sequence[Precision],
    files: Mapping[str, Path],
    n_turns: int,
) -> list[dict[str, dict[str, float]]]:
    """Of each bundle `decode_ms` by the name of the file, and `infer_ms` by precision.

    Parameters
    ----------
    precisions : of each bundle, the one that the service runs; float32 is measured too
    """
    bundles = [read(folder) for folder in folders]
    decoding = _decoding([bundle.card.audio for bundle in bundles], files)
    decode_ms = median_cpu_ms(decoding, n_turns)
    windows = {audio: work().samples[:1] for (audio, _), work in decoding.items()}
    infer_ms = median_cpu_ms(_inference(bundles, precisions, windows), n_turns)
    return [
        {
            "decode_ms": {name: decode_ms[bundle.card.audio, name] for name in files},
            "infer_ms": {
                precision: ms
                for (name, precision), ms in infer_ms.items()
                if name == bundle.card.name
            },
        }
        for bundle in bundles
    ]


def _decoding(
    audios: Sequence[AudioInput], files: Mapping[str, Path]
) -> dict[tuple[AudioInput, str], Callable[[], Windows]]:
    """By audio input, since bundles with equal inputs decode alike, and name of the file."""
    copies = {name: in_memory(path) for name, path in files.items()}
    return {
        (audio, name): partial(read_windows, path, audio, WindowChoice())
        for audio in audios
        for name, path in copies.items()
    }


def _inference(
    bundles: Sequence[Bundle],
    precisions: Sequence[Precision],
    windows: Mapping[AudioInput, Samples],
) -> dict[tuple[str, Precision], Callable[[], object]]:
    """By name of the bundle and precision."""
    works: dict[tuple[str, Precision], Callable[[], object]] = {}
    for bundle, served in zip(bundles, precisions, strict=True):
        encoder, waveforms = find_encoder(bundle, bundles), windows[bundle.card.audio]
        for precision in (FLOAT32, served):
            inference = Inference(bundle, encoder, precision)
            works[bundle.card.name, precision] = partial(inference.run, waveforms)
    return works
