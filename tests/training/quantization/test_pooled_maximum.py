"""Int8 of a convolution before a maximum: ranges, rounding, and the numbers that come out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from tests.training.networks.test_musicnn import randomise
from training.export.torch_to_onnx import to_onnx
from training.networks.musicnn import TimbralBlock
from training.quantization.agreement import measure_agreements, open_cpu
from training.quantization.int8 import quantize_nodes, to_int8
from training.quantization.pooled_maximum import HEADROOM, quantize_pooled
from training.quantization.subgraph import fold_batch_norm
from training.quantization.weight_rounding import MAX_CODE, input_power, round_weights

FRAMES, BANDS, FILTERS = 40, 24, 16
CONVOLUTION = "node_conv2d"


class Tagger(nn.Module):
    """Logarithm, filters with a maximum over their positions, and a mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.block = TimbralBlock((5, 9), (2, 2), FILTERS)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        image = torch.log(waveform.abs() + 0.1).reshape(-1, 1, FRAMES, BANDS)
        features: torch.Tensor = self.block(image).mean(2)
        return features


@pytest.fixture(scope="module")
def graph() -> bytes:
    torch.manual_seed(0)
    return to_onnx(randomise(Tagger()), "waveform", FRAMES * BANDS, ["features"])


@pytest.fixture(scope="module")
def windows() -> NDArray[np.float32]:
    """Smooth images, as spectrograms are."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(24, FRAMES, BANDS)).cumsum(1).cumsum(2)
    return np.asarray(images.reshape(24, -1) / np.abs(images).max(), np.float32)


def quantized(graph: bytes, windows: NDArray[np.float32]) -> onnx.ModelProto:
    model = fold_batch_norm(graph)
    pools, overrides = quantize_pooled(model, CONVOLUTION, windows)
    return quantize_nodes(model, [CONVOLUTION, *pools], windows, overrides)


def constant(model: onnx.ModelProto, name: str) -> NDArray[np.float32]:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values: NDArray[np.float32] = numpy_helper.to_array(tensor)
    return values


def test_rescaling_alone_changes_nothing(graph: bytes, windows: NDArray[np.float32]) -> None:
    model = fold_batch_norm(graph)
    weights = constant(model, convolution_of(model).input[1])
    quantize_pooled(model, CONVOLUTION, windows)
    node = convolution_of(model)
    # Undo the rounding: the rescaled weights are the original ones, each filter by a factor.
    rounded = constant(model, node.input[1])
    factor = (rounded * weights).sum((1, 2, 3)) / (weights * weights).sum((1, 2, 3))
    for tensor in model.graph.initializer:
        if tensor.name == node.input[1]:
            exact = weights * factor[:, None, None, None]
            tensor.CopyFrom(numpy_helper.from_array(exact.astype(np.float32), tensor.name))
    agreement = measure_agreements(graph, model.SerializeToString(), windows, ["features"])
    assert agreement["features"].min() > 0.999


def convolution_of(model: onnx.ModelProto) -> onnx.NodeProto:
    found: onnx.NodeProto = next(node for node in model.graph.node if node.name == CONVOLUTION)
    return found


def test_the_int8_graph_agrees_with_float32(graph: bytes, windows: NDArray[np.float32]) -> None:
    model = to_int8(graph, windows[:12], 0.999)
    kinds = [node.op_type for node in model.graph.node]
    # Input, weights, output of the convolution, and the pool's output.
    assert kinds.count("QuantizeLinear") == 3
    agreement = measure_agreements(graph, model.SerializeToString(), windows[12:], ["features"])
    assert agreement["features"].min() > 0.999


def test_two_products_fit_16_bits(graph: bytes, windows: NDArray[np.float32]) -> None:
    model = quantized(graph, windows)
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert [len(codes) for codes in weights] == [FILTERS]
    assert 2 * 255 * int(np.abs(weights[0].astype(int)).max()) < 2**15
    assert np.abs(weights[0]).max() == MAX_CODE


def test_maxima_fill_the_eight_bits(graph: bytes, windows: NDArray[np.float32]) -> None:
    model = fold_batch_norm(graph)
    pools, overrides = quantize_pooled(model, CONVOLUTION, windows)
    (pool,) = (node for node in model.graph.node if node.name in pools)
    model.graph.output.append(onnx.ValueInfoProto(name=pool.output[0]))
    session = open_cpu(model.SerializeToString())
    maxima = np.concatenate(
        [session.run([pool.output[0]], {"waveform": window[None]})[0] for window in windows]
    )
    by_filter = np.moveaxis(maxima, 1, 0).reshape(FILTERS, -1)
    used = np.clip(by_filter, 0, 1)
    heard = used.max(1) > used.min(1)
    assert heard.sum() > FILTERS / 2
    # Of each filter that is ever heard, the maxima reach one end of the range at least.
    full = 1 / HEADROOM - 0.01
    assert np.all((used[heard].max(1) > full) | (used[heard].min(1) < 1 - full))
    (unit,) = overrides[pool.output[0]]
    assert unit["scale"] == pytest.approx(1 / 255)
    assert unit["zero_point"] == 0


def test_other_convolutions_are_left_alone(windows: NDArray[np.float32]) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolve = nn.Conv2d(1, 8, 3)

        def forward(self, waveform: torch.Tensor) -> torch.Tensor:
            image = torch.log(waveform.abs() + 0.1).reshape(-1, 1, FRAMES, BANDS)
            pooled: torch.Tensor = self.convolve(image).relu().amax((2, 3))
            return pooled

    model = fold_batch_norm(to_onnx(Plain(), "waveform", FRAMES * BANDS, ["features"]))
    before = model.SerializeToString(deterministic=True)
    assert quantize_pooled(model, CONVOLUTION, windows) == ([], {})
    assert model.SerializeToString(deterministic=True) == before


def test_rounding_makes_up_for_its_errors(windows: NDArray[np.float32]) -> None:
    images = windows.reshape(-1, 1, FRAMES, BANDS)
    power = input_power(images, (5, 9))
    weights = np.random.default_rng(1).normal(size=(FILTERS, 45)).astype(np.float32)
    rounded, scale = round_weights(weights, power)
    codes = rounded / scale[:, None]
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)
    assert np.abs(codes).max() <= MAX_CODE + 1e-3
    nearest = np.rint(weights / scale[:, None]) * scale[:, None]
    error, nearest_error = (
        np.einsum("fk,kl,fl->", change, power, change)
        for change in (rounded - weights, nearest - weights)
    )
    assert error < nearest_error / 4


def test_power_is_that_of_the_inputs_at_every_position() -> None:
    image = np.random.default_rng(2).normal(size=(2, 1, 4, 5)).astype(np.float32)
    power = input_power(image, (2, 3))
    unfolded = nn.functional.unfold(torch.from_numpy(image), (2, 3)).numpy()  # (n, K, positions)
    np.testing.assert_allclose(power, np.einsum("nkp,nlp->kl", unfolded, unfolded), rtol=1e-4)
