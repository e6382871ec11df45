"""Static int8 quantization (QDQ) with sensitivity-based layer selection."""

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
from training.quantization.agreement import measure_agreements
from training.quantization.equalization import equalize
from training.quantization.mean_pooling import POOL, replace_means
from training.quantization.pooled_maximum import Overrides, quantize_pooled
from training.quantization.subgraph import find_work_shares, fold_batch_norm

# Minimum share of the multiplications: for a lighter convolution, quantizing and dequantizing cost
# what integer arithmetic gains.
MIN_SHARE = 0.1
# Number of windows for the sensitivity measurement of a convolution.
SENSITIVITY_WINDOWS = 8


def to_int8(graph: bytes, windows: NDArray[np.float32], min_agreement: float) -> onnx.ModelProto:
    """Quantize the heavy convolutions of a graph, and the means and maxima over their outputs.

    Convolutions are tried from the heaviest down to a tenth of the work. One is quantized if the
    minimum agreement with the float32 outputs is `min_agreement` or more; all other nodes stay
    float32.

    Parameters
    ----------
    windows : float32, shape (n, input_samples): calibration data
    min_agreement : with the float32 outputs, see `models.similarity`

    Raises
    ------
    BadPrecision
        If no convolution can be quantized.
    """
    model = fold_batch_norm(graph)
    work = find_work_shares(model, windows.shape[1])
    heavy = sorted((name for name in work if work[name] >= MIN_SHARE), key=lambda name: -work[name])
    outputs = [output.name for output in model.graph.output]
    chosen: list[str] = []
    overrides: Overrides = {}
    best: onnx.ModelProto | None = None
    minima: dict[str, float] = {}
    for name in heavy:
        equalize(model, name, windows)
        pools, ranges = quantize_pooled(model, name, windows)
        means = replace_means(model, _find_output(model, name))
        names, ranges = [*chosen, name, *pools, *means], overrides | ranges
        candidate = quantize_nodes(model, names, windows, ranges)
        measured = measure_agreements(
            graph, candidate.SerializeToString(), windows[:SENSITIVITY_WINDOWS], outputs
        )
        minima[name] = min(float(agreement.min()) for agreement in measured.values())
        if minima[name] >= min_agreement:
            chosen, overrides, best = names, ranges, candidate
    if best is None:
        listing = ", ".join(f"{name} {minimum:.6f}" for name, minimum in minima.items())
        raise BadPrecision(
            f"no convolution in int8 keeps a minimum agreement of {min_agreement} with float32: "
            f"{listing}"
        )
    return best


def _find_output(model: onnx.ModelProto, name: str) -> str:
    return next(str(node.output[0]) for node in model.graph.node if node.name == name)


@contextlib.contextmanager
def _silence_warnings() -> Iterator[None]:
    """Suppress the quantizer's advice to fold batch norms, which `fold_batch_norm` has done."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class _WindowReader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration data: one window at a time."""

    def __init__(self, name: str, windows: NDArray[np.float32]) -> None:
        self._inputs: Iterator[dict[str, NDArray[np.float32]]] = iter(
            [{name: window[None]} for window in windows]
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._inputs, None)


def quantize_nodes(
    model: onnx.ModelProto,
    names: list[str],
    windows: NDArray[np.float32],
    overrides: Overrides | None = None,
) -> onnx.ModelProto:
    """Calibrate, and put QuantizeLinear and DequantizeLinear around the named nodes.

    Parameters
    ----------
    overrides : ranges and types of tensors that are not calibrated
    """
    with tempfile.TemporaryDirectory() as folder, _silence_warnings():
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        onnx.save(model, source)
        quantization.quantize_static(
            str(source),
            str(target),
            _WindowReader(model.graph.input[0].name, windows),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MaxPool", POOL],
            nodes_to_quantize=names,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            # 7-bit weights: without VNNI, sums of two products saturate at 16 bits. With them
            # every machine computes the same numbers.
            reduce_range=True,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"TensorQuantOverrides": overrides or {}},
        )
        return onnx.load(target)
