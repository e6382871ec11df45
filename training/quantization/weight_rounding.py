"""Rounding of a convolution's weights to 7 bits, each weight's error made up for by later weights.

Neighbouring values of a spectrogram are much alike, so most of what rounding one weight does to the
output can be undone by rounding another one to the other side.

Source: Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained
transformers" (2023), algorithm 1, with the inputs of greatest power first.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

# Seven bits: the sum of two products with an 8-bit input fits 16 bits.
MAX_CODE = 63
# Added to the diagonal, relative to its mean: keeps a matrix of inputs that never vary invertible.
DAMPING = 1e-4


def input_power(images: NDArray[np.float32], kernel: tuple[int, int]) -> NDArray[np.float64]:
    """Second moments of a convolution's inputs over all positions, shape (K, K).

    Parameters
    ----------
    images : shape (n, 1, height, width)
    kernel : height and width of the filters; K is their product
    """
    size = kernel[0] * kernel[1]
    power = np.zeros((size, size))
    for image in images[:, 0]:
        patches = sliding_window_view(image, kernel).reshape(-1, size)
        power += patches.T @ patches
    return power


def round_weights(
    weights: NDArray[np.float32], power: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Round the weights of each filter to 127 levels for the smallest change of its output.

    Parameters
    ----------
    weights : shape (n_filters, K)
    power : shape (K, K), of `input_power`

    Returns
    -------
    The rounded weights, shape (n_filters, K), and the step of each filter, shape (n_filters,).
    """
    scale = np.abs(weights).max(1) / MAX_CODE
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    order = np.argsort(-np.diag(power))
    damped = power[np.ix_(order, order)] + DAMPING * np.diag(power).mean() * np.eye(len(power))
    # Row i: how the remaining weights best make up for the error of weight i.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    remaining = weights[:, order].astype(np.float64)
    rounded = np.empty_like(weights)
    for index, column in enumerate(order):
        codes = np.clip(np.rint(remaining[:, index] / scale), -MAX_CODE, MAX_CODE)
        rounded[:, column] = codes * scale
        error = (remaining[:, index] - codes * scale) / factor[index, index]
        remaining[:, index + 1 :] -= error[:, None] * factor[index, index + 1 :]
    return rounded, scale
