"""How near a graph of another precision comes to the float32 graph, on real windows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.card import Cosine

Cosines = dict[str, NDArray[np.float64]]


def cosines(
    reference: bytes, graph: bytes, windows: Iterable[NDArray[np.float32]], outputs: list[str]
) -> Cosines:
    """Output name → cosine between what two graphs put out, one a window, shape (n,).

    Parameters
    ----------
    windows : float32, shape (window_samples,) each; by itself, as a CPU serves it
    """
    one, other = open_cpu(reference), open_cpu(graph)
    source = one.get_inputs()[0].name
    rows = []
    for window in windows:
        wanted, found = (each.run(outputs, {source: window[None]}) for each in (one, other))
        rows.append([cosine(*pair) for pair in zip(wanted, found, strict=True)])
    table = np.array(rows).reshape(-1, len(outputs))
    return {name: table[:, column] for column, name in enumerate(outputs)}


def summary(measured: Cosines) -> dict[str, Cosine]:
    return {
        name: Cosine(mean=round(float(each.mean()), 6), least=round(float(each.min()), 6))
        for name, each in measured.items()
    }


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """In [-1, 1]; between two zeros 1, between one and anything else, or with NaN, -1."""
    left, right = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    lengths = float(np.linalg.norm(left)), float(np.linalg.norm(right))
    if not all(lengths):
        return 1.0 if not any(lengths) else -1.0
    found = float(left @ right) / lengths[0] / lengths[1]
    return float(np.clip(found, -1, 1)) if np.isfinite(found) else -1.0


def open_cpu(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
