"""Parameters and floating-point operations of an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

Shape = tuple[int, ...]
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
# Submodule of an exported encoder that holds the network, beside the front end: see
# `training.networks.waveform`. The constants of a front end are no parameters.
NETWORK = "network"
STATISTICS = ("running_mean", "running_var")
COUNTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def count_parameters(graph: bytes) -> int:
    """Weights of the network: float initialisers, without running statistics of batch norms.

    Of a graph whose names do not tell the front end from the network, all float initialisers.
    """
    sizes = {
        tensor.name: prod(tensor.dims)
        for tensor in onnx.load_from_string(graph).graph.initializer
        if tensor.data_type in FLOATS and not tensor.name.endswith(STATISTICS)
    }
    of_network = [size for name, size in sizes.items() if NETWORK in name.split(".")]
    return sum(of_network or sizes.values())


def count_flop(graph: bytes, inputs: Mapping[str, NDArray[np.float32]]) -> int:
    """Operations of convolutions and matrix products, two for each multiply-accumulate.

    Biases, activations, pooling and other operators are not counted, as is usual. The shapes are
    those of a run, since a graph need not state them; graphs within operators are not looked into.

    Parameters
    ----------
    inputs : name → array that the graph is run on
    """
    model = onnx.load_from_string(graph)
    nodes = [node for node in model.graph.node if node.op_type in COUNTED]
    if not nodes:
        return 0
    shapes = _run_for_shapes(model, nodes, inputs)
    return sum(2 * _count_mac(node, shapes) for node in nodes)


def _run_for_shapes(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, NDArray[np.float32]],
) -> dict[str, Shape]:
    """Shapes of the first two inputs and the output of each node."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes |= {name: array.shape for name, array in inputs.items()}
    needed = [name for node in nodes for name in (*node.input[:2], node.output[0])]
    computed = [name for name in dict.fromkeys(needed) if name not in shapes]
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in computed)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # An optimised graph fuses nodes, whose tensors are then gone.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    values = session.run(computed, dict(inputs))
    return shapes | {name: value.shape for name, value in zip(computed, values, strict=True)}


def _count_mac(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    first, second = (shapes[name] for name in node.input[:2])
    output = shapes[node.output[0]]
    if node.op_type == "Conv":  # weight: (C_out, C_in / groups, *kernel)
        return prod(output) * prod(second[1:])
    if node.op_type == "ConvTranspose":  # weight: (C_in, C_out / groups, *kernel)
        return prod(first) * prod(second[1:])
    is_transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return prod(output) * first[0 if is_transposed else -1]
