"""Parity check: ONNX graph against the known outputs of the model; without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from training.errors import ParityFailed

OPSET = 20
# Relative to the largest absolute value of the output.
PARITY_TOLERANCE = 1e-4


@dataclass(frozen=True)
class CheckedGraph:
    """ONNX graph, serialised, that passed the parity check.

    Attributes
    ----------
    errors : output name → largest difference from the model, relative to the output
    """

    content: bytes
    errors: Mapping[str, float]


def check_outputs(
    expected: Sequence[NDArray[np.float32]], graph: bytes, inputs: NDArray[np.float32]
) -> dict[str, float]:
    """Compare a graph with the outputs of the model, each input alone and all in one batch.

    Parameters
    ----------
    expected : the model's outputs, one array per graph output, in the order of the graph
    inputs : float32, shape (n, …): of real clips

    Returns
    -------
    output name → max |onnx - expected| / max |expected|

    Raises
    ------
    ParityFailed
        If an output differs by more than 1e-4.
    """
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    source = session.get_inputs()[0].name
    batched = session.run(names, {source: inputs})
    single = [session.run(names, {source: row[None]}) for row in inputs]
    errors = {}
    for index, name in enumerate(names):
        runs = (batched[index], np.concatenate([outputs[index] for outputs in single]))
        scale = np.abs(expected[index]).max()
        errors[name] = max(float(np.abs(run - expected[index]).max() / scale) for run in runs)
        if not errors[name] <= PARITY_TOLERANCE:  # NaN fails too
            raise ParityFailed(name, errors[name], PARITY_TOLERANCE)
    return errors


def without_traces(model: onnx.ModelProto) -> bytes:
    """Serialise a model without source paths and stack traces of the exporting machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    return bytes(model.SerializeToString(deterministic=True))
