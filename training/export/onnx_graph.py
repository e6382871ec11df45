"""Network -> ONNX graph, proven equal to torch; and back, weight by weight."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from training.errors import ParityFailed

OPSET = 20
# Of the output's largest absolute value.
PARITY_TOLERANCE = 1e-4


def to_onnx(
    module: nn.Module, input_name: str, input_size: int, output_names: Sequence[str]
) -> bytes:
    """A module from (batch, input_size) to its outputs, as ONNX with a free batch axis."""
    # Exported from a copy in float32 on the CPU, contiguous, in evaluation mode.
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
            optimize=False,  # onnxruntime does, and so the weights keep their names
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
    """The model without the source files and stack traces of the machine that exported it."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    return bytes(model.SerializeToString(deterministic=True))


def check_parity(network: nn.Module, graph: bytes, inputs: NDArray[np.float32]) -> dict[str, float]:
    """Largest difference between torch and ONNX, alone and in a batch, relative to the output.

    Parameters
    ----------
    network : what was exported, in evaluation mode
    inputs : float32, shape (n, …): of real clips

    Returns
    -------
    output name → max |onnx - torch| / max |torch|

    Raises
    ------
    ParityFailed
        Where one is over 1e-4.
    """
    with torch.no_grad():
        answers = network(torch.from_numpy(inputs))
    wanted = [tensor.numpy() for tensor in (answers if isinstance(answers, tuple) else (answers,))]
    return check_answers(wanted, graph, inputs)


def check_answers(
    wanted: Sequence[NDArray[np.float32]], graph: bytes, inputs: NDArray[np.float32]
) -> dict[str, float]:
    """As `check_parity`, against known answers: one array an output of the graph, in its order."""
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    source = session.get_inputs()[0].name
    together = session.run(names, {source: inputs})
    alone = [session.run(names, {source: each[None]}) for each in inputs]
    errors = {}
    for index, name in enumerate(names):
        answers = (together[index], np.concatenate([answer[index] for answer in alone]))
        scale = np.abs(wanted[index]).max()
        errors[name] = max(float(np.abs(got - wanted[index]).max() / scale) for got in answers)
        if not errors[name] <= PARITY_TOLERANCE:
            raise ParityFailed(name, errors[name], PARITY_TOLERANCE)
    return errors
