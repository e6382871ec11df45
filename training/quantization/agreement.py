"""Agreement of a reduced-precision graph with the float32 graph, measured on real windows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.card import Cosine
from models.similarity import output_agreement

Agreements = dict[str, NDArray[np.float64]]


def measure_agreements(
    reference: bytes, graph: bytes, windows: Iterable[NDArray[np.float32]], outputs: list[str]
) -> Agreements:
    """Output name → agreement of the two graphs' outputs, one per window, shape (n,).

    Parameters
    ----------
    windows : float32, shape (input_samples,) each; run one at a time, as a CPU serves them
    """
    sessions = open_cpu(reference), open_cpu(graph)
    source = sessions[0].get_inputs()[0].name
    rows = []
    for window in windows:
        expected, found = (session.run(outputs, {source: window[None]}) for session in sessions)
        rows.append(
            [output_agreement(*triple) for triple in zip(outputs, expected, found, strict=True)]
        )
    table = np.array(rows).reshape(-1, len(outputs))
    return {name: table[:, column] for column, name in enumerate(outputs)}


def summarize(measured: Agreements) -> dict[str, Cosine]:
    """Mean and minimum over the windows, as the card states them."""
    return {
        name: Cosine(mean=round(float(values.mean()), 6), least=round(float(values.min()), 6))
        for name, values in measured.items()
    }


def open_cpu(graph: bytes) -> ort.InferenceSession:
    """An onnxruntime session on the CPU that logs errors only."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
