"""Mixed-precision conversion: float16 convolutions, float32 inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.quantization.subgraph import find_convolutions, fold_batch_norm, nodes_between

HALF = ".float16"


def to_float16(graph: bytes) -> onnx.ModelProto:
    """Convert the subgraph from the first convolution after the front end to the last one.

    (The converter of onnxruntime.transformers casts the waveform to float16 even if the front end
    is excluded.)

    Raises
    ------
    BadPrecision
    """
    model = fold_batch_norm(graph)
    subgraph = nodes_between(model, find_convolutions(model))
    floats = _find_floats(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    inside = [node for node in model.graph.node if node.name in subgraph]
    produced = {name for node in inside for name in node.output}
    leaving = produced & _find_read_outside(model, subgraph)
    cast: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.name in subgraph:
            for name in sorted(floats.intersection(node.input) - produced - cast):
                cast.add(name)
                if name in constants:
                    model.graph.initializer.append(_to_half(constants[name]))
                else:
                    nodes.append(_make_cast(name, name + HALF, TensorProto.FLOAT16))
            _run_in_half(node, floats)
        nodes.append(node)
        made = {name.removesuffix(HALF) for name in node.output}
        for name in sorted(leaving & made & floats):
            nodes.append(_make_cast(name + HALF, name, TensorProto.FLOAT))
    _replace_nodes(model, nodes)
    return model


def _find_floats(model: onnx.ModelProto) -> set[str]:
    """Names of all float32 tensors of the graph."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    names = {
        value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    return names | {
        tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT
    }


def _find_read_outside(model: onnx.ModelProto, subgraph: set[str]) -> set[str]:
    """Names of the tensors that are read outside the subgraph, including graph outputs."""
    outside = (node for node in model.graph.node if node.name not in subgraph)
    read = {name for node in outside for name in node.input}
    return read | {output.name for output in model.graph.output}


def _run_in_half(node: onnx.NodeProto, floats: set[str]) -> None:
    for names in (node.input, node.output):
        names[:] = [name + HALF if name in floats else name for name in names]
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16


def _to_half(constant: onnx.TensorProto) -> onnx.TensorProto:
    values = numpy_helper.to_array(constant).astype(np.float16)
    return numpy_helper.from_array(values, constant.name + HALF)


def _make_cast(source: str, target: str, data_type: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=data_type)


def _replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Replace the nodes of the graph, and drop the constants that no node reads any more."""
    kept = list(nodes)
    read = {name for node in kept for name in node.input}
    constants = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(constants)
