"""Temperature scaling and expected calibration error of a classifier's probabilities.

Source: Guo et al., "On calibration of modern neural networks" (2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

N_BINS = 15
# A temperature beyond these bounds means uninformative logits, or too few clips.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


def fit_temperature(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """The temperature T that minimises the cross-entropy of softmax(logits / T).

    Parameters
    ----------
    logits : shape (n, n_classes), of clips that the model was not trained on
    targets : class indices, shape (n,)
    """

    def cross_entropy(log_temperature: float) -> float:
        log_probabilities = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(log_probabilities[np.arange(len(targets)), targets].mean())

    bounds = (np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE))
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


def expected_calibration_error(
    probabilities: NDArray[np.float64], targets: NDArray[np.int64], n_bins: int = N_BINS
) -> float:
    """Mean |accuracy - confidence| over equal-width bins of confidence, weighted by clips per bin.

    Parameters
    ----------
    probabilities : shape (n, n_classes)
    targets : class indices, shape (n,)
    """
    confidence = probabilities.max(1)
    is_correct = probabilities.argmax(1) == targets
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [abs((is_correct[bins == i] - confidence[bins == i]).sum()) for i in set(bins)]
    return float(sum(gaps) / len(targets))


def cross_fitted_probabilities(
    logits: list[NDArray[np.float32]], targets: list[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Calibrated probabilities of every fold's held-out clips, shape (n, n_classes), in order.

    Cross-fitting: each fold's temperature is fitted on the held-out clips of the other folds, so
    that no clip is calibrated with its own target.
    """
    calibrated = []
    for fold, fold_logits in enumerate(logits):
        others = [other for other in range(len(logits)) if other != fold]
        temperature = fit_temperature(
            np.concatenate([logits[other] for other in others]),
            np.concatenate([targets[other] for other in others]),
        )
        calibrated.append(softmax(fold_logits / temperature, axis=1))
    return np.concatenate(calibrated)
