"""Which part of a bundle's graph may run in another precision than float32.

From the first convolution after the front end to the last one. The front end stays as it is (powers
of a spectrum overflow float16, and their logarithm needs all digits of them), and so does what
comes after the last convolution: it takes next to no time, and the answer is made there.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from training.errors import BadPrecision
from training.quantization.similarity import open_cpu


def folded(graph: bytes) -> onnx.ModelProto:
    """The same network with each normalisation folded into its convolution, every node named."""
    options = ort.SessionOptions()
    # No further than this: it is plain ONNX, for every provider and machine.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        model = onnx.load(path)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    _keep_used_domains(model)
    return model


def _keep_used_domains(model: onnx.ModelProto) -> None:
    """The optimiser declares all of its own, which other readers of ONNX need not know."""
    used = _domains(model.graph)
    kept = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _domains(graph: onnx.GraphProto) -> set[str]:
    inner = [each.g for node in graph.node for each in node.attribute if each.HasField("g")]
    return {node.domain for node in graph.node}.union(*map(_domains, inner))


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Those after the front end: after the last logarithm, or else after the first convolution.

    Raises
    ------
    BadPrecision
        Where there is none.
    """
    nodes = list(model.graph.node)
    found = [node for node in nodes if node.op_type == "Conv"]
    logarithms = [node for node in nodes if node.op_type == "Log"]
    front = logarithms[-1:] or found[:1]
    after = _downstream(nodes, front) - {node.name for node in front}
    ours = [node for node in found if node.name in after]
    if not ours:
        raise BadPrecision("its graph has no convolution after the front end")
    return ours


def between(model: onnx.ModelProto, ours: Iterable[onnx.NodeProto]) -> set[str]:
    """Names of the nodes that are on a way from one of these to another, and theirs."""
    ends = list(ours)
    nodes = list(model.graph.node)
    return _downstream(nodes, ends) & _upstream(nodes, ends)


def shares(model: onnx.ModelProto, window_samples: int) -> dict[str, float]:
    """Of each convolution after the front end: its share of all their multiplications."""
    ours = convolutions(model)
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    names = [node.output[0] for node in ours]
    there = {output.name for output in model.graph.output}
    opened.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in there
    )
    session = open_cpu(opened.SerializeToString())
    silence = np.zeros((1, window_samples), np.float32)
    answers = session.run(names, {model.graph.input[0].name: silence})
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    work = {
        node.name: answer.size * math.prod(weights[node.input[1]][1:])
        for node, answer in zip(ours, answers, strict=True)
    }
    return {name: each / sum(work.values()) for name, each in work.items()}


def _downstream(nodes: list[onnx.NodeProto], begin: list[onnx.NodeProto]) -> set[str]:
    reached = {node.name for node in begin}
    made = {name for node in begin for name in node.output}
    for node in nodes:  # in the order in which they run
        if made.intersection(node.input):
            reached.add(node.name)
            made.update(node.output)
    return reached


def _upstream(nodes: list[onnx.NodeProto], end: list[onnx.NodeProto]) -> set[str]:
    reached = {node.name for node in end}
    needed = {name for node in end for name in node.input}
    for node in reversed(nodes):
        if needed.intersection(node.output):
            reached.add(node.name)
            needed.update(node.input)
    return reached
