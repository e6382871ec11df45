"""The mean of each channel over an image, as the operator that also counts in integers.

An exported mean is a ReduceMean, for which a tensor of 8 bits is first turned back into float32:
of a large one that takes longer than the mean.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper, numpy_helper

POOL = "GlobalAveragePool"
# Of a tensor (batch, channels, height, width).
IMAGE_AXES = {2, 3}


def pool_means(model: onnx.ModelProto, tensor: str) -> list[str]:
    """Replace each mean over height and width of that tensor by a pool; the names of the pools."""
    nodes: list[onnx.NodeProto] = []
    pools = []
    for node in model.graph.node:
        if (
            node.op_type != "ReduceMean"
            or node.input[0] != tensor
            or not _is_of_images(model, node)
        ):
            nodes.append(node)
            continue
        (output,) = node.output
        pools.append(f"{node.name}_pool")
        keeps_axes = _attributes(node).get("keepdims", 1)
        pooled = output if keeps_axes else f"{output}_pooled"
        nodes.append(helper.make_node(POOL, [tensor], [pooled], name=pools[-1]))
        if not keeps_axes:
            nodes.append(helper.make_node("Flatten", [pooled], [output], name=node.name, axis=1))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return pools


def _is_of_images(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    axes = _attributes(node).get("axes", ())  # until opset 18, then an input
    for constant in model.graph.initializer:
        if constant.name in node.input[1:]:
            axes = numpy_helper.to_array(constant).tolist()
    return {axis % 4 for axis in axes} == IMAGE_AXES


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}
