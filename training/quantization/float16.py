"""A graph whose convolutions run in float16; its input and its outputs stay float32."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.quantization.subgraph import between, convolutions, folded

HALF = ".float16"


def to_float16(graph: bytes) -> onnx.ModelProto:
    """The graph, in float16 from its first convolution after the front end to its last one.

    (The converter of onnxruntime.transformers, told to leave the front end alone, still takes the
    waveform itself through float16.)

    Raises
    ------
    BadPrecision
    """
    model = folded(graph)
    part = between(model, convolutions(model))
    floats, constants = _floats(model), {each.name: each for each in model.graph.initializer}
    inside = [node for node in model.graph.node if node.name in part]
    made = {name for node in inside for name in node.output}
    leaving = made & _read_outside(model, part)
    halved: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.name in part:
            for name in sorted(floats.intersection(node.input) - made - halved):
                halved.add(name)
                if name in constants:
                    model.graph.initializer.append(_half(constants[name]))
                else:
                    nodes.append(_cast(name, name + HALF, TensorProto.FLOAT16))
            _run_in_half(node, floats)
        nodes.append(node)
        back = sorted(leaving.intersection(name.removesuffix(HALF) for name in node.output))
        nodes += [_cast(name + HALF, name, TensorProto.FLOAT) for name in back if name in floats]
    _replace_nodes(model, nodes)
    return model


def _floats(model: onnx.ModelProto) -> set[str]:
    """Names of every float32 tensor of the graph."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    made = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return made | {each.name for each in graph.initializer if each.data_type == TensorProto.FLOAT}


def _read_outside(model: onnx.ModelProto, part: set[str]) -> set[str]:
    outside = (node for node in model.graph.node if node.name not in part)
    read = {name for node in outside for name in node.input}
    return read | {output.name for output in model.graph.output}


def _run_in_half(node: onnx.NodeProto, floats: set[str]) -> None:
    for names in (node.input, node.output):
        names[:] = [name + HALF if name in floats else name for name in names]
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16


def _half(constant: onnx.TensorProto) -> onnx.TensorProto:
    values = numpy_helper.to_array(constant).astype(np.float16)
    return numpy_helper.from_array(values, constant.name + HALF)


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=kind)


def _replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """These nodes in place of the graph's, without the constants that none of them reads."""
    kept = list(nodes)
    read = {name for node in kept for name in node.input}
    constants = [each for each in model.graph.initializer if each.name in read]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(constants)
