"""Platt scaling of a tagger's probabilities: a slope and an offset of the logit for each label.

Sources: Platt, "Probabilistic outputs for support vector machines" (1999), with its smoothed
targets; Niculescu-Mizil, Caruana, "Predicting good probabilities with supervised learning" (2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

# With fewer tracks with or without a label, its two parameters are not fitted.
MIN_TRACKS = 20
# Probabilities are clipped to [MARGIN, 1 - MARGIN]: the logit of 0 or 1 is infinite.
MARGIN = 1e-6

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TagCalibration:
    """sigmoid(slope · logit(p) + offset) of each label; slope 1 and offset 0 if not calibrated.

    Attributes
    ----------
    slopes, offsets : float64, shape (n_labels,)
    is_calibrated : bool, shape (n_labels,)
    """

    slopes: Array
    offsets: Array
    is_calibrated: NDArray[np.bool_]

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities of a tagger's probabilities, both of shape (n, n_labels)."""
        return np.asarray(expit(self.slopes * to_logits(inputs) + self.offsets), np.float32)


def to_logits(probabilities: NDArray[np.float32]) -> Array:
    clipped = np.clip(probabilities.astype(np.float64), MARGIN, 1 - MARGIN)
    return np.asarray(logit(clipped))


def fit_calibration(
    probabilities: NDArray[np.float32], targets: NDArray[np.float32], folds: NDArray[np.int64]
) -> TagCalibration:
    """Fit each label on all tracks; keep those whose log loss on held-out tracks becomes lower.

    A label stays as it is where fewer than 20 tracks have it or have it not, or where the slope
    would not be positive: the probability would then fall as the tagger's rises.

    Parameters
    ----------
    probabilities : shape (n_tracks, n_labels)
    targets : 1, 0 or NaN (unknown), shape (n_tracks, n_labels)
    folds : shape (n_tracks,): each fold is held out once, to decide
    """
    n_labels = probabilities.shape[1]
    slopes, offsets = np.ones(n_labels), np.zeros(n_labels)
    is_calibrated = np.zeros(n_labels, bool)
    logits = to_logits(probabilities)
    for label in np.flatnonzero(has_enough_tracks(targets)):
        known = ~np.isnan(targets[:, label])
        x, y = logits[known, label], targets[known, label].astype(np.float64)
        slope, offset = fit_platt(x, y)
        held_out = _held_out_logits(x, y, folds[known])
        if slope > 0 and log_loss(held_out, y) < log_loss(x, y):
            slopes[label], offsets[label], is_calibrated[label] = slope, offset, True
    return TagCalibration(slopes, offsets, is_calibrated)


def held_out_probabilities(
    probabilities: NDArray[np.float32], targets: NDArray[np.float32], folds: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Probabilities of each fold, shape (n_tracks, n_labels), calibrated on the other folds alone.

    The decision which labels to calibrate is made on the other folds too.
    """
    calibrated = np.empty_like(probabilities)
    for fold in np.unique(folds):
        test = folds == fold
        model = fit_calibration(probabilities[~test], targets[~test], folds[~test])
        calibrated[test] = model.predict(probabilities[test])
    return calibrated


def fit_platt(logits: Array, targets: Array) -> tuple[float, float]:
    """Slope and offset that minimise the log loss of sigmoid(slope · logit + offset).

    With Platt's smoothed targets, (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), so that the slope is finite
    where the logit divides the tracks without error.

    Parameters
    ----------
    logits, targets : shape (n,); targets are 0 or 1
    """
    n_positive, n_negative = targets.sum(), (1 - targets).sum()
    smoothed = np.where(targets > 0, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))

    def loss(parameters: Array) -> tuple[float, Array]:
        scaled = parameters[0] * logits + parameters[1]
        residual = expit(scaled) - smoothed
        gradient = np.array([(residual * logits).mean(), residual.mean()])
        return log_loss(scaled, smoothed), gradient

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return float(slope), float(offset)


def log_loss(logits: Array, targets: Array) -> float:
    """Mean cross-entropy of sigmoid(logits) to targets in [0, 1], both of shape (n,)."""
    return float((np.logaddexp(0, logits) - targets * logits).mean())


def has_enough_tracks(targets: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether a label can be judged, shape (n_labels,): 20 tracks have it, and 20 have it not."""
    n_positive, n_negative = (targets == 1).sum(0), (targets == 0).sum(0)
    return np.asarray(np.minimum(n_positive, n_negative) >= MIN_TRACKS)


def _held_out_logits(logits: Array, targets: Array, folds: NDArray[np.int64]) -> Array:
    held_out = np.empty_like(logits)
    for fold in np.unique(folds):
        test = folds == fold
        slope, offset = fit_platt(logits[~test], targets[~test])
        held_out[test] = slope * logits[test] + offset
    return held_out
