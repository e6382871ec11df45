"""Subgraph selection: which convolutions and nodes of a graph run in reduced precision.

The subgraph reaches from the first convolution after the front end to the last convolution. The
front end stays float32, since powers of a spectrum overflow float16 and their logarithm needs all
digits. The nodes after the last convolution stay float32 too: they take next to no time and make
the outputs.
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
from training.quantization.agreement import open_cpu


def fold_batch_norm(graph: bytes) -> onnx.ModelProto:
    """Fold batch norms into their convolutions, and name every node."""
    options = ort.SessionOptions()
    # The basic level yields plain ONNX, for every provider and machine.
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
    """Drop the operator domains of onnxruntime that the graph does not use."""
    used = _find_domains(model.graph)
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _find_domains(graph: onnx.GraphProto) -> set[str]:
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    inner = [attribute.g for attribute in attributes if attribute.HasField("g")]
    return {node.domain for node in graph.node}.union(*map(_find_domains, inner))


def find_convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Convolutions after the front end, which ends at the last logarithm that a convolution is
    computed from or, without one, at the first convolution.

    Raises
    ------
    BadPrecision
        Where the graph has no such convolution.
    """
    nodes = list(model.graph.node)
    found = [node for node in nodes if node.op_type == "Conv"]
    for node in reversed(nodes):
        if node.op_type == "Log" and (selected := _after(node, nodes, found)):
            return selected  # a logarithm of statistics beside the convolutions selects none
    selected = _after(found[0], nodes, found) if found else []
    if not selected:
        raise BadPrecision("the graph has no convolution after the front end")
    return selected


def _after(
    start: onnx.NodeProto, nodes: list[onnx.NodeProto], convolutions: list[onnx.NodeProto]
) -> list[onnx.NodeProto]:
    after = _downstream(nodes, [start]) - {start.name}
    return [node for node in convolutions if node.name in after]


def nodes_between(model: onnx.ModelProto, convolutions: Iterable[onnx.NodeProto]) -> set[str]:
    """Names of the nodes on any path from one of the convolutions to another, ends included."""
    ends = list(convolutions)
    nodes = list(model.graph.node)
    return _downstream(nodes, ends) & _upstream(nodes, ends)


def find_work_shares(model: onnx.ModelProto, input_samples: int) -> dict[str, float]:
    """Name of each convolution after the front end → share of their multiplications."""
    convolutions = find_convolutions(model)
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    names = [node.output[0] for node in convolutions]
    known = {output.name for output in model.graph.output}
    extended.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in known
    )
    session = open_cpu(extended.SerializeToString())
    silence = np.zeros((1, input_samples), np.float32)
    outputs = session.run(names, {model.graph.input[0].name: silence})
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    work = {
        node.name: output.size * math.prod(shapes[node.input[1]][1:])
        for node, output in zip(convolutions, outputs, strict=True)
    }
    return {name: count / sum(work.values()) for name, count in work.items()}


def _downstream(nodes: list[onnx.NodeProto], start: list[onnx.NodeProto]) -> set[str]:
    reached = {node.name for node in start}
    produced = {name for node in start for name in node.output}
    for node in nodes:  # in topological order
        if produced.intersection(node.input):
            reached.add(node.name)
            produced.update(node.output)
    return reached


def _upstream(nodes: list[onnx.NodeProto], end: list[onnx.NodeProto]) -> set[str]:
    reached = {node.name for node in end}
    needed = {name for node in end for name in node.input}
    for node in reversed(nodes):
        if needed.intersection(node.output):
            reached.add(node.name)
            needed.update(node.input)
    return reached
