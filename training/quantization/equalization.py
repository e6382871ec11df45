"""Channels that fill the same 8 bits better: their ranges brought nearer to each other.

A tensor has one scale in int8, and its quietest channels few of the 256 steps. Between two
convolutions with a ReLU a channel may be multiplied on one side and divided on the other: the same
network. Source: Nagel et al. 2019, section 4.1; the square root as in Xiao et al. 2023, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from training.quantization.similarity import open_cpu

# A channel that is silent in calibration is not made louder without end.
LEAST_RANGE = 1e-3


def balance(model: onnx.ModelProto, name: str, windows: Iterable[NDArray[np.float32]]) -> None:
    """Bring the input channels of that convolution half way, in decibels, to the loudest one.

    Nothing is changed where the input is not a convolution's by way of a ReLU, for it alone.
    """
    node = next(each for each in model.graph.node if each.name == name)
    before = _before(model, node)
    if before is None:
        return
    loudest = _loudest(model, node.input[0], windows)
    gain = np.sqrt(loudest.max() / np.maximum(loudest, LEAST_RANGE * loudest.max()))
    gain = gain.astype(np.float32)  # (C,)
    _multiply(model, before.input[1], gain[:, None, None, None])  # (C, …)
    if len(before.input) > 2:
        _multiply(model, before.input[2], gain)
    _multiply(model, node.input[1], 1 / gain[None, :, None, None])  # (…, C, …)


def _before(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The convolution whose ReLU the node alone reads, where all of it can be rescaled."""
    relu = _only_maker(model, node.input[0], "Relu")
    before = _only_maker(model, relu.input[0], "Conv") if relu else None
    if before is None:
        return None
    weights = {each.name: each.dims for each in model.graph.initializer}
    names = [*before.input[1:], node.input[1]]
    grouped = any(each.name == "group" and each.i != 1 for each in node.attribute)
    shared = any(_readers(model, name) > 1 for name in names)
    images = all(len(weights.get(each.input[1], ())) == 4 for each in (before, node))
    return before if images and not grouped and not shared else None


def _only_maker(model: onnx.ModelProto, tensor: str, kind: str) -> onnx.NodeProto | None:
    makers = [node for node in model.graph.node if tensor in node.output]
    alone = _readers(model, tensor) == 1 and makers and makers[0].op_type == kind
    return makers[0] if alone else None


def _readers(model: onnx.ModelProto, tensor: str) -> int:
    reads = [name for node in model.graph.node for name in node.input].count(tensor)
    return reads + [output.name for output in model.graph.output].count(tensor)


def _loudest(
    model: onnx.ModelProto, tensor: str, windows: Iterable[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The highest value of each channel over the windows, shape (C,)."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.append(onnx.ValueInfoProto(name=tensor))
    session, source = open_cpu(opened.SerializeToString()), model.graph.input[0].name
    peaks = []
    for window in windows:
        (values,) = session.run([tensor], {source: window[None]})
        peaks.append(values.max(axis=(0, 2, 3)))  # (S, C, M, T) -> (C,)
    return np.asarray(np.max(peaks, axis=0), np.float32)


def _multiply(model: onnx.ModelProto, name: str, factor: NDArray[np.float32]) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * factor, name))
