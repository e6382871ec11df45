"""GlobalAveragePool in place of ReduceMean, since onnxruntime runs the former in int8.

A mean is exported as a ReduceMean, whose int8 input is first dequantized to float32; for a large
tensor that takes longer than the mean itself.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper, numpy_helper

POOL = "GlobalAveragePool"
# Height and width of a tensor (batch, channels, height, width).
IMAGE_AXES = {2, 3}


def replace_means(model: onnx.ModelProto, tensor: str) -> list[str]:
    """Replace every mean of a tensor over height and width by a pool; returns the pools' names."""
    nodes: list[onnx.NodeProto] = []
    pools = []
    for node in model.graph.node:
        if (
            node.op_type != "ReduceMean"
            or node.input[0] != tensor
            or not _is_over_image(model, node)
        ):
            nodes.append(node)
            continue
        (output,) = node.output
        pools.append(f"{node.name}_pool")
        keeps_axes = _read_attributes(node).get("keepdims", 1)
        pooled = output if keeps_axes else f"{output}_pooled"
        nodes.append(helper.make_node(POOL, [tensor], [pooled], name=pools[-1]))
        if not keeps_axes:
            nodes.append(helper.make_node("Flatten", [pooled], [output], name=node.name, axis=1))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return pools


def _is_over_image(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    axes = _read_attributes(node).get("axes", ())  # an attribute before opset 18, then an input
    for constant in model.graph.initializer:
        if constant.name in node.input[1:]:
            axes = numpy_helper.to_array(constant).tolist()
    return {axis % 4 for axis in axes} == IMAGE_AXES


def _read_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}
