"""Ridge regression with weighted rows: the linear maps of several penalties at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.float64]
# Standard deviation, relative to the input's mean or to the widest input, below which an input is
# taken as constant. Hundreds of MusiCNN's channels never answer: what float32 rounding leaves in
# them, divided by its own spread, would differ between torch, onnxruntime and machines.
MIN_SPREAD = 1e-3


@dataclass(frozen=True)
class LinearMap:
    """x (n, n_in) -> x · weightᵀ + bias, (n, n_out).

    Attributes
    ----------
    weight, bias : shapes (n_out, n_in) and (n_out,)
    """

    weight: Floats
    bias: Floats

    def __call__(self, x: NDArray[np.floating]) -> Floats:
        return np.asarray(x @ self.weight.T + self.bias, np.float64)

    def after(self, scaler: StandardScaler) -> LinearMap:
        """This map of standardised inputs as a map of the inputs themselves."""
        weight = self.weight / scaler.scale_
        return LinearMap(weight, self.bias - weight @ scaler.mean_)


def fit_scaler(x: NDArray[np.floating]) -> StandardScaler:
    """A `StandardScaler` in float64 that makes 0 of inputs that are constant but for rounding."""
    scaler = StandardScaler().fit(np.asarray(x, np.float64))
    spread = np.sqrt(scaler.var_)
    floor = MIN_SPREAD * np.maximum(np.abs(scaler.mean_), spread.max())
    scaler.scale_ = np.where(spread > floor, scaler.scale_, np.inf)
    return scaler


def fit_standardised_ridge(
    x: NDArray[np.floating], y: NDArray[np.floating], weights: Floats, alphas: Sequence[float]
) -> list[LinearMap]:
    """`fit_scaler`, then `Ridge(alpha)` with sample weights, as one map for each penalty.

    Parameters
    ----------
    x, y : shapes (n, n_in) and (n, n_out)
    weights : of the squared error of each row, shape (n,); the scaler counts every row once
    """
    scaler = fit_scaler(x)
    maps = fit_ridge(scaler.transform(np.asarray(x, np.float64)), y, weights, alphas)
    return [found.after(scaler) for found in maps]


def fit_ridge(
    x: Floats, y: NDArray[np.floating], weights: Floats, alphas: Sequence[float]
) -> list[LinearMap]:
    """Minimise Σ w · |W x + b - y|² + alpha · |W|² for each alpha; the intercept is not penalised.

    By one eigendecomposition of the weighted covariance for all penalties.
    """
    shares = weights / weights.sum()
    mean_x, mean_y = shares @ x, shares @ np.asarray(y, np.float64)
    scale = np.sqrt(weights)[:, None]
    centred, targets = scale * (x - mean_x), scale * (y - mean_y)
    variances, axes = np.linalg.eigh(centred.T @ centred)
    variances = np.maximum(variances, 0)  # rounding makes some slightly negative
    projected = axes.T @ (centred.T @ targets)
    found = []
    for alpha in alphas:
        weight = (axes @ (projected / (variances + alpha)[:, None])).T
        found.append(LinearMap(weight, mean_y - weight @ mean_x))
    return found
