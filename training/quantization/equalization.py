"""Cross-layer equalization before int8 quantization.

An int8 tensor has a single scale, so its quietest channels get few of the 256 steps. Between two
convolutions with a ReLU, a channel can be multiplied on one side and divided on the other without
changing the network. Source: Nagel et al. 2019, section 4.1; the square root as in Xiao et al.
2023, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from training.quantization.agreement import open_cpu

# Relative to the loudest channel: limits the gain of a channel that is silent in calibration.
MIN_RANGE = 1e-3


def equalize(model: onnx.ModelProto, name: str, windows: Iterable[NDArray[np.float32]]) -> None:
    """Scale the input channels of a convolution half way, in decibels, to the loudest channel.

    Changes the model in place, and only if the input is the ReLU of another convolution with no
    other reader.
    """
    node = next(node for node in model.graph.node if node.name == name)
    producer = _find_producer(model, node)
    if producer is None:
        return
    peaks = _measure_peaks(model, node.input[0], windows)
    gain = np.sqrt(peaks.max() / np.maximum(peaks, MIN_RANGE * peaks.max()))
    gain = gain.astype(np.float32)  # (C,)
    _multiply(model, producer.input[1], gain[:, None, None, None])  # (C, …)
    if len(producer.input) > 2:
        _multiply(model, producer.input[2], gain)
    _multiply(model, node.input[1], 1 / gain[None, :, None, None])  # (…, C, …)


def _find_producer(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The convolution before the node's ReLU, if both convolutions can be rescaled."""
    relu = _find_sole_producer(model, node.input[0], "Relu")
    producer = _find_sole_producer(model, relu.input[0], "Conv") if relu else None
    if producer is None:
        return None
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    names = [*producer.input[1:], node.input[1]]
    grouped = any(attribute.name == "group" and attribute.i != 1 for attribute in node.attribute)
    shared = any(_count_readers(model, name) > 1 for name in names)
    images = all(len(shapes.get(conv.input[1], ())) == 4 for conv in (producer, node))
    return producer if images and not grouped and not shared else None


def _find_sole_producer(model: onnx.ModelProto, tensor: str, op_type: str) -> onnx.NodeProto | None:
    """The node of that type that produces a tensor, if the tensor has a single reader."""
    producers = [node for node in model.graph.node if tensor in node.output]
    sole = _count_readers(model, tensor) == 1 and producers and producers[0].op_type == op_type
    return producers[0] if sole else None


def _count_readers(model: onnx.ModelProto, tensor: str) -> int:
    reads = [name for node in model.graph.node for name in node.input].count(tensor)
    return reads + [output.name for output in model.graph.output].count(tensor)


def _measure_peaks(
    model: onnx.ModelProto, tensor: str, windows: Iterable[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The highest value of each channel over the windows, shape (C,)."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    extended.graph.output.append(onnx.ValueInfoProto(name=tensor))
    session, source = open_cpu(extended.SerializeToString()), model.graph.input[0].name
    peaks = []
    for window in windows:
        (values,) = session.run([tensor], {source: window[None]})
        peaks.append(values.max(axis=(0, 2, 3)))  # (S, C, M, T) -> (C,)
    return np.asarray(np.max(peaks, axis=0), np.float32)


def _multiply(model: onnx.ModelProto, name: str, factor: NDArray[np.float32]) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * factor, name))
