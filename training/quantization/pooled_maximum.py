"""Int8 quantization of a convolution of which only the maximum over positions is used.

An int8 tensor has one scale for all channels, and the values that are no maximum need none of it.
So each channel is shifted and scaled until its maxima fill the 8 bits, which is undone after the
pooling, where a constant per channel is multiplied anyway.

The input keeps 8 bits, and the weights get 7: without VNNI, onnxruntime adds two products in 16
bits, and 255 · 63 · 2 fits where 255 · 127 · 2 does not. The other way round, 7 bits for the input
and 8 for the weights, has twice the error: most of the weights' is made up for, see
`weight_rounding`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType

from training.quantization.agreement import open_cpu
from training.quantization.weight_rounding import input_power, round_weights

# Highest code of an 8-bit tensor.
MAX_CODE = 255
# Relative to the widest channel: limits the gain of a channel that is silent in calibration.
MIN_RANGE = 1e-3
# Range of a channel relative to what calibration found: louder recordings must not saturate.
HEADROOM = 1.25
# The same for the convolution's input.
INPUT_HEADROOM = 1.1

Floats = NDArray[np.float32]
# Tensor name → ranges and types that the quantizer uses instead of its own.
Overrides = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class PooledConvolution:
    """A convolution, the pool that alone reads its output, and the product after the pool.

    Attributes
    ----------
    factor : name of the constant of the product, one number per channel
    """

    convolution: onnx.NodeProto
    pool: onnx.NodeProto
    product: onnx.NodeProto
    factor: str


def quantize_pooled(
    model: onnx.ModelProto, name: str, windows: Iterable[Floats]
) -> tuple[list[str], Overrides]:
    """Rescale a convolution before a maximum for int8, in place; nothing for other convolutions.

    Returns
    -------
    Names of the pools to quantize too, and the ranges of the tensors around them.
    """
    found = _find_pooled(model, name)
    if found is None:
        return [], {}
    convolution, pool = found.convolution, found.pool
    source, pooled, output = convolution.input[0], pool.output[0], convolution.output[0]
    tensors = _read_tensors(model, [source, pooled], windows)
    constants = _constants(model)
    low, width = _find_ranges(tensors[pooled], constants[found.factor].reshape(-1))
    _rescale(model, found, low, width)
    scales = _round_weights(model, convolution, tensors[source])
    unit = _range(0.0, 1.0)
    low_input, high_input = (INPUT_HEADROOM * end for end in _find_span(tensors[source]))
    overrides: Overrides = {
        source: [_range(low_input, high_input)],
        output: [unit],
        pooled: [unit],
        convolution.input[1]: [
            {"quant_type": QuantType.QInt8, "axis": 0, "scale": scale, "zero_point": np.int8(0)}
            for scale in scales
        ],
    }
    return [pool.name], overrides


def _find_span(values: Floats) -> tuple[float, float]:
    """Lowest and highest value, with 0 between them."""
    return min(float(values.min()), 0.0), max(float(values.max()), 0.0)


def _find_ranges(pooled: Floats, signs: Floats) -> tuple[Floats, Floats]:
    """Lowest value and width of the range of each channel, of maxima (n, F, T, 1).

    A ReLU follows the product, so only maxima of the factor's sign are used.
    """
    maxima = np.moveaxis(pooled, 1, 0).reshape(len(signs), -1)  # (n, F, T, 1) -> (F, n · T)
    width = np.maximum(np.where(signs > 0, maxima.max(1), -maxima.min(1)), 0) * HEADROOM
    width = np.maximum(width, MIN_RANGE * width.max())
    return np.where(signs > 0, 0, -width), width


def _find_pooled(model: onnx.ModelProto, name: str) -> PooledConvolution | None:
    """Convolution of one channel → MaxPool → Mul by a constant → ReLU, each with one reader."""
    convolution = next(node for node in model.graph.node if node.name == name)
    pool = _find_reader(model, convolution.output[0], "MaxPool")
    product = _find_reader(model, pool.output[0], "Mul") if pool else None
    if pool is None or product is None or _find_reader(model, product.output[0], "Relu") is None:
        return None
    constants = _constants(model)
    (factor,) = set(product.input) - set(pool.output)
    n_channels = len(constants[convolution.input[1]])
    one_input = constants[convolution.input[1]].shape[1:2] == (1,)
    per_channel = constants.get(factor, np.empty(0)).size == n_channels
    if len(convolution.input) < 3 or not one_input or not per_channel:
        return None
    return PooledConvolution(convolution, pool, product, factor)


def _find_reader(model: onnx.ModelProto, tensor: str, op_type: str) -> onnx.NodeProto | None:
    """The only reader of a tensor, if it is of that type and the tensor is no output."""
    readers = [node for node in model.graph.node if tensor in node.input]
    is_output = any(output.name == tensor for output in model.graph.output)
    sole = len(readers) == 1 and not is_output and readers[0].op_type == op_type
    return readers[0] if sole else None


def _rescale(model: onnx.ModelProto, found: PooledConvolution, low: Floats, width: Floats) -> None:
    """Map [low, low + width] of each channel to [0, 1] before the pool, and back after it."""
    convolution, product = found.convolution, found.product
    constants = _constants(model)
    weight, bias = (constants[tensor] for tensor in convolution.input[1:])
    factor = constants[found.factor]
    shape = (-1,) + (1,) * (weight.ndim - 1)
    prefix = f"{convolution.name}_rescaled"
    new = {
        f"{prefix}_weight": weight / width.reshape(shape),
        f"{prefix}_bias": (bias - low) / width,
        f"{prefix}_factor": factor * width.reshape(factor.shape),
        f"{prefix}_offset": factor * low.reshape(factor.shape),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(values, np.float32), key) for key, values in new.items()
    )
    convolution.input[1:] = [f"{prefix}_weight", f"{prefix}_bias"]
    product.input[:] = [found.pool.output[0], f"{prefix}_factor"]
    (output,) = product.output
    product.output[:] = [f"{prefix}_product"]
    inputs = [f"{prefix}_product", f"{prefix}_offset"]
    position = list(model.graph.node).index(product) + 1
    model.graph.node.insert(
        position, helper.make_node("Add", inputs, [output], name=f"{prefix}_add")
    )
    _drop_unused(model)


def _round_weights(model: onnx.ModelProto, convolution: onnx.NodeProto, images: Floats) -> Floats:
    """Round the weights in place, for inputs (n, 1, T, M); returns the step of each filter."""
    name = convolution.input[1]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    weights: Floats = numpy_helper.to_array(tensor)
    power = input_power(images, weights.shape[2:])
    rounded, scales = round_weights(weights.reshape(len(weights), -1), power)
    tensor.CopyFrom(numpy_helper.from_array(rounded.reshape(weights.shape), name))
    return scales


def _drop_unused(model: onnx.ModelProto) -> None:
    read = {tensor for node in model.graph.node for tensor in node.input}
    kept = [constant for constant in model.graph.initializer if constant.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _constants(model: onnx.ModelProto) -> dict[str, Floats]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _read_tensors(
    model: onnx.ModelProto, names: list[str], windows: Iterable[Floats]
) -> dict[str, Floats]:
    """Values of tensors over all windows, concatenated along the batch."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    extended.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session, waveform = open_cpu(extended.SerializeToString()), model.graph.input[0].name
    runs = [session.run(names, {waveform: window[None]}) for window in windows]
    return {name: np.concatenate([run[i] for run in runs]) for i, name in enumerate(names)}


def _range(low: float, high: float) -> dict[str, Any]:
    """Scale and zero point of unsigned 8-bit codes for [low, high]."""
    scale = (high - low) / MAX_CODE
    return {
        "scale": np.array(scale, np.float32),
        "zero_point": np.array(round(-low / scale), np.uint8),
    }
