"""Baselines of the evaluation: mean vector, shuffled items, ridge, random projections."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.estimator.mel_baseline import ALPHAS

Vectors = NDArray[np.float32]
Names = NDArray[np.str_]
Weights = NDArray[np.float64]


def fit_for_each_set(
    predict: Callable[[Weights, NDArray[np.bool_]], Vectors],
    fitted_sets: Names,
    judged_sets: Names,
    dim: int,
) -> Vectors:
    """Fit a baseline once for each set of the judged clips; the predictions of all of them.

    The other sets together weigh at most as much as the clips of the set: some thousand renderings
    would otherwise decide what some hundred recordings are predicted by, and the baseline would be
    beaten for that alone.

    Parameters
    ----------
    predict : weights of the fitted clips, and a mask of the judged clips -> vectors of those
    fitted_sets, judged_sets : name of the set of each clip

    Returns
    -------
    Shape (n_judged, dim).
    """
    predicted = np.zeros((len(judged_sets), dim), np.float32)
    for name in np.unique(judged_sets):
        weights = np.ones(len(fitted_sets))
        n_own = (fitted_sets == name).sum()
        if n_own:
            n_others = len(fitted_sets) - n_own
            weights[fitted_sets != name] = min(1.0, n_own / max(n_others, 1))
        mask = judged_sets == name
        predicted[mask] = predict(weights, mask)
    return predicted


def predict_mean(targets: Vectors, fitted_sets: Names, judged_sets: Names) -> Vectors:
    """Mean target, one for each set, for every judged clip: shape (n_judged, dim)."""

    def predict(weights: Weights, mask: NDArray[np.bool_]) -> Vectors:
        mean = np.average(targets, 0, weights)
        return np.asarray(np.tile(mean, (int(mask.sum()), 1)), np.float32)

    return fit_for_each_set(predict, fitted_sets, judged_sets, targets.shape[1])


def predict_by_ridge(
    fitted: Vectors,
    targets: Vectors,
    judged: Vectors,
    fitted_sets: Names,
    judged_sets: Names,
) -> Vectors:
    """Ridge regression on standardised inputs, its penalty chosen by leave-one-out.

    Parameters
    ----------
    fitted, targets : shape (n_fitted, n_inputs) and (n_fitted, dim)
    judged : shape (n_judged, n_inputs)

    Returns
    -------
    Shape (n_judged, dim).
    """

    def predict(weights: Weights, mask: NDArray[np.bool_]) -> Vectors:
        model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS))
        weighted = {f"{step}__sample_weight": weights for step in ("standardscaler", "ridgecv")}
        return np.asarray(model.fit(fitted, targets, **weighted).predict(judged[mask]), np.float32)

    return fit_for_each_set(predict, fitted_sets, judged_sets, targets.shape[1])


def project_at_random(features: Vectors, dim: int, seed: int = 0) -> Vectors:
    """Gaussian random projections of features, which keep cosines approximately: (n_clips, dim)."""
    directions = np.random.default_rng(seed).normal(size=(features.shape[1], dim))
    return np.asarray(features @ directions / np.sqrt(dim), np.float32)


def shuffle_items(predicted: Vectors, item_index: NDArray[np.int64], seed: int = 0) -> Vectors:
    """Permute predictions between items: same distribution of vectors, unrelated to the clips."""
    items = np.random.default_rng(seed).permutation(item_index.max() + 1)
    clips = {item: np.flatnonzero(item_index == item) for item in items}
    other = dict(zip(items, np.roll(items, 1), strict=True))
    rng = np.random.default_rng(seed)
    return predicted[[rng.choice(clips[other[item]]) for item in item_index]]
