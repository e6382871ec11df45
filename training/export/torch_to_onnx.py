"""ONNX export of torch modules, with a parity check against torch."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.export.parity import OPSET, CheckedGraph, check_outputs, without_traces


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


def check_parity(network: nn.Module, graph: bytes, inputs: NDArray[np.float32]) -> dict[str, float]:
    """Compare ONNX with torch on real inputs; see `check_outputs`.

    Parameters
    ----------
    network : the exported module, in evaluation mode

    Raises
    ------
    ParityFailed
    """
    with torch.no_grad():
        outputs = network(torch.from_numpy(inputs))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return check_outputs([tensor.numpy() for tensor in outputs], graph, inputs)
