"""Probabilities that mean what they say: one temperature, and how far off they are.

Source: Guo et al., "On calibration of modern neural networks" (2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

N_BINS = 15
# A temperature beyond these says that the logits tell nothing, or that there are too few.
LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: NDArray[np.float32], answers: NDArray[np.int64]) -> float:
    """The T for which softmax(logits / T) has the least cross-entropy.

    Parameters
    ----------
    logits : shape (n, n_classes), of clips that the model was not trained on
    answers : class indices, shape (n,)
    """

    def cross_entropy(log_temperature: float) -> float:
        likely = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(likely[np.arange(len(answers)), answers].mean())

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


def expected_calibration_error(
    probabilities: NDArray[np.float64], answers: NDArray[np.int64], n_bins: int = N_BINS
) -> float:
    """Mean |accuracy - confidence| over equal bins of confidence, weighted by their clips.

    Parameters
    ----------
    probabilities : shape (n, n_classes)
    answers : class indices, shape (n,)
    """
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == answers
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [abs((right[bins == each] - confidence[bins == each]).sum()) for each in set(bins)]
    return float(sum(gaps) / len(answers))


def cross_fitted(
    logits: list[NDArray[np.float32]], answers: list[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Calibrated probabilities of every fold's held-out clips, shape (n, n_classes), in order.

    Each fold's temperature is fitted on the other folds' held-out clips, so that no clip has a
    part in its own.
    """
    after = []
    for fold, mine in enumerate(logits):
        others = [each for each in range(len(logits)) if each != fold]
        temperature = fit_temperature(
            np.concatenate([logits[each] for each in others]),
            np.concatenate([answers[each] for each in others]),
        )
        after.append(softmax(mine / temperature, axis=1))
    return np.concatenate(after)
