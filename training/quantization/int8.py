"""A graph whose heaviest convolutions run on integers of 8 bits, calibrated on real windows."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.calibrate import CalibrationDataReader

from training.errors import BadPrecision
from training.quantization.equalization import balance
from training.quantization.mean_pooling import POOL, pool_means
from training.quantization.similarity import agreements
from training.quantization.subgraph import folded, shares

# Of the multiplications: what a lighter convolution gains by integers it loses again in turning
# numbers into them and back.
LEAST_SHARE = 0.1
# Windows that show how much a convolution bears.
SENSITIVITY_WINDOWS = 8


def to_int8(graph: bytes, windows: NDArray[np.float32], least: float) -> onnx.ModelProto:
    """The graph with its heavy convolutions in int8, and the means of what they put out.

    From the heaviest to that of a tenth of the work, each is taken that leaves the least agreement
    with the float32 outputs at `least` or above; all else stays as it is.

    Parameters
    ----------
    windows : float32, shape (n, window_samples): to calibrate on

    Raises
    ------
    BadPrecision
        Where no convolution can be taken.
    """
    model = folded(graph)
    work = shares(model, windows.shape[1])
    heavy = sorted((name for name in work if work[name] >= LEAST_SHARE), key=lambda n: -work[n])
    outputs = [output.name for output in model.graph.output]
    taken: list[str] = []
    best: onnx.ModelProto | None = None
    seen: dict[str, float] = {}
    for name in heavy:
        balance(model, name, windows)
        names = [*taken, name, *pool_means(model, _output(model, name))]
        tried = quantized(model, names, windows)
        near = agreements(graph, tried.SerializeToString(), windows[:SENSITIVITY_WINDOWS], outputs)
        seen[name] = min(float(each.min()) for each in near.values())
        if seen[name] >= least:
            taken, best = names, tried
    if best is None:
        said = ", ".join(f"{name} {near:.6f}" for name, near in seen.items())
        raise BadPrecision(f"no convolution bears int8 with a least agreement of {least}: {said}")
    return best


def _output(model: onnx.ModelProto, name: str) -> str:
    return next(str(node.output[0]) for node in model.graph.node if node.name == name)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The quantiser asks for the folding that `folded` has done."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class _Windows(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, windows: NDArray[np.float32]) -> None:
        self._inputs: Iterator[dict[str, NDArray[np.float32]]] = iter(
            [{name: window[None]} for window in windows]
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._inputs, None)


def quantized(
    model: onnx.ModelProto, names: list[str], windows: NDArray[np.float32]
) -> onnx.ModelProto:
    """The model with these nodes between a quantisation and its undoing, calibrated."""
    with tempfile.TemporaryDirectory() as folder, _silence():
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        onnx.save(model, source)
        quantization.quantize_static(
            str(source),
            str(target),
            _Windows(model.graph.input[0].name, windows),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", POOL],
            nodes_to_quantize=names,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            # Weights of 7 bits: without VNNI the sum of two products has 16 bits, and saturates.
            # So every machine counts the same.
            reduce_range=True,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        return onnx.load(target)
