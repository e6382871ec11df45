"""ONNX export of torch modules, with a parity check against torch."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from training.errors import ParityFailed

OPSET = 20
# Relative to the largest absolute value of the output.
PARITY_TOLERANCE = 1e-4


@dataclass(frozen=True)
class CheckedGraph:
    """ONNX bytes that passed the parity check.

    Attributes
    ----------
    errors : output name → largest difference from the model, relative to the output
    """

    content: bytes
    errors: Mapping[str, float]


def export_checked(
    module: nn.Module, input_name: str, inputs: NDArray[np.float32], output_names: Sequence[str]
) -> CheckedGraph:
    """Export a module in evaluation mode, and check its parity on real inputs, shape (n, size).

    Raises
    ------
    ParityFailed
    """
    content = to_onnx(module, input_name, inputs.shape[1], output_names)
    return CheckedGraph(content, check_parity(module, content, inputs))


def to_onnx(
    module: nn.Module, input_name: str, input_size: int, output_names: Sequence[str]
) -> bytes:
    """Export a module with one input, (batch, input_size), to ONNX with a free batch axis."""
    # A copy: the export needs float32 on the CPU, contiguous, and training may go on.
    exported = copy.deepcopy(module).to("cpu", torch.float32).eval()
    exported = exported.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        torch.no_grad(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            exported,
            (torch.zeros(2, input_size),),
            dynamo=True,
            optimize=False,  # onnxruntime does it on load, and weights keep their names
            opset_version=OPSET,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned no program")
    return without_traces(program.model_proto)


def without_traces(model: onnx.ModelProto) -> bytes:
    """Serialise a model without source paths and stack traces of the exporting machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    return bytes(model.SerializeToString(deterministic=True))


def check_parity(network: nn.Module, graph: bytes, inputs: NDArray[np.float32]) -> dict[str, float]:
    """Compare ONNX with torch, each input alone and all in one batch.

    Parameters
    ----------
    network : the exported module, in evaluation mode
    inputs : float32, shape (n, …): of real clips

    Returns
    -------
    output name → max |onnx - torch| / max |torch|

    Raises
    ------
    ParityFailed
        Where an output differs by more than 1e-4.
    """
    with torch.no_grad():
        outputs = network(torch.from_numpy(inputs))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return check_outputs([tensor.numpy() for tensor in outputs], graph, inputs)


def check_outputs(
    expected: Sequence[NDArray[np.float32]], graph: bytes, inputs: NDArray[np.float32]
) -> dict[str, float]:
    """As `check_parity`, against known outputs: one array per graph output, in its order."""
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
