"""Baseline of a tagger: a logistic regression of each label on mel statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from training.probes.search import INNER_FOLDS, SearchSpace, assign_inner_folds, fit_best
from training.probes.tag_calibration import has_enough_tracks

BASELINE = "logistic regression on mel statistics"


def baseline_probabilities(
    mel: NDArray[np.float32],
    targets: NDArray[np.float32],
    tracks: pd.DataFrame,
    folds: NDArray[np.int64],
    seed: int,
) -> NDArray[np.float32]:
    """Probabilities of each fold's tracks, shape (n_tracks, n_labels), fitted on the other folds.

    C is chosen for each label by cross-validation within the other folds, as for any probe. A
    label that cannot be judged, see `has_enough_tracks`, or that too few tracks of the other folds
    have, gets its share of these tracks.

    Parameters
    ----------
    mel : shape (n_tracks, dim)
    targets : 1, 0 or NaN (unknown), shape (n_tracks, n_labels)
    tracks : with `track_id` and `artist`, for the inner folds
    """
    judged = np.flatnonzero(has_enough_tracks(targets))
    probabilities = np.empty_like(targets)
    for fold in np.unique(folds):
        test = folds == fold
        known = ~np.isnan(targets) & ~test[:, None]
        probabilities[test] = (np.nan_to_num(targets) * known).sum(0) / np.maximum(known.sum(0), 1)
        for label in judged:
            rows = known[:, label]
            classes = targets[rows, label].astype(np.int64)
            if np.bincount(classes, minlength=2).min() < INNER_FOLDS:
                continue
            inputs = {"mel statistics": mel[rows]}
            space = SearchSpace(inputs, ("logistic",), "classification", seed=seed)
            labelled = tracks[rows].assign(label=classes.astype(str))
            _, fitted = fit_best(space, classes, assign_inner_folds(labelled, seed), 2)
            logits = fitted.outputs(mel[test]) / fitted.temperature
            probabilities[test, label] = expit(logits[:, 1] - logits[:, 0])
    return probabilities
