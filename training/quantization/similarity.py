"""How near a graph of another precision comes to the float32 graph, on real windows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.card import Cosine
from models.similarity import output_agreement

Agreements = dict[str, NDArray[np.float64]]


def agreements(
    reference: bytes, graph: bytes, windows: Iterable[NDArray[np.float32]], outputs: list[str]
) -> Agreements:
    """Output name → agreement of what two graphs put out, one a window, shape (n,).

    Parameters
    ----------
    windows : float32, shape (window_samples,) each; by itself, as a CPU serves it
    """
    one, other = open_cpu(reference), open_cpu(graph)
    source = one.get_inputs()[0].name
    rows = []
    for window in windows:
        wanted, found = (each.run(outputs, {source: window[None]}) for each in (one, other))
        rows.append([output_agreement(*each) for each in zip(outputs, wanted, found, strict=True)])
    table = np.array(rows).reshape(-1, len(outputs))
    return {name: table[:, column] for column, name in enumerate(outputs)}


def summary(measured: Agreements) -> dict[str, Cosine]:
    return {
        name: Cosine(mean=round(float(each.mean()), 6), least=round(float(each.min()), 6))
        for name, each in measured.items()
    }


def open_cpu(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
