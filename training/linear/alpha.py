"""Choice of ridge's penalty: user AUC of validation artists, by cross-validation over artists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.cf.als import Factorization
from training.cf.logs import Logs
from training.datasets.folds import N_FOLDS, assign_folds
from training.errors import NothingToEvaluate, TooFewArtists
from training.evaluation.ranking_metrics import clip_measures, held_out
from training.linear.clips import LabelledClips
from training.linear.ridge import LinearMap, fit_standardised_ridge

# On unit-length targets and standardised inputs, half a decade apart.
ALPHAS = tuple(float(f"{alpha:.4g}") for alpha in np.logspace(1, 5, 9))


@dataclass(frozen=True)
class Audience:
    """What user AUC is measured with: who listened to what, and the users' factors.

    Parameters
    ----------
    logs : of all items that are fitted on
    min_listeners : items with fewer listeners are not counted
    """

    logs: Logs
    factors: Factorization
    min_listeners: int


@dataclass(frozen=True)
class FittedMap:
    """A map fitted with the penalty that was best for artists that it had not heard.

    Attributes
    ----------
    user_auc : penalty → mean user AUC over the clips of the inner folds
    """

    map: LinearMap
    alpha: float
    user_auc: dict[float, float]


def fit_map(clips: LabelledClips, audience: Audience, seed: int) -> FittedMap:
    """Choose the penalty on these clips alone, then fit on all of them.

    The criterion is user AUC and not the cosine to the target, since who listens is what the
    embedding is for. The user factors were learnt with the validation artists' listeners too, as
    those of `estimator` are, which favours no penalty over another.

    Raises
    ------
    TooFewArtists, NothingToEvaluate, OtherUsers
    """
    predicted = cross_validate(clips, ALPHAS, seed)
    data, counted = held_out(
        clips.tracks["item_id"], audience.logs, audience.factors, audience.min_listeners
    )
    if not len(data.items):
        raise NothingToEvaluate(len(clips), audience.min_listeners)
    user_auc = {
        alpha: float(clip_measures(vectors[counted], data, audience.factors)["user_auc"].mean())
        for alpha, vectors in zip(ALPHAS, predicted, strict=True)
    }
    alpha = max(user_auc, key=lambda alpha: user_auc[alpha])
    (found,) = fit_standardised_ridge(clips.inputs, clips.targets, clips.weights, [alpha])
    return FittedMap(found, alpha, user_auc)


def cross_validate(
    clips: LabelledClips, alphas: tuple[float, ...], seed: int
) -> NDArray[np.float32]:
    """Predictions for each clip by maps fitted without its artist, (n_alphas, n, dim).

    Raises
    ------
    TooFewArtists
    """
    n_artists = clips.tracks["artist"].nunique()
    if n_artists < 2:
        raise TooFewArtists("+".join(clips.set_names), n_artists)
    folds = assign_folds(clips.tracks[["track_id", "artist"]], min(N_FOLDS, n_artists), seed)
    predicted = np.empty((len(alphas), *clips.targets.shape), np.float32)
    for fold in range(folds.max() + 1):
        held = folds == fold
        fitting = clips[~held]
        maps = fit_standardised_ridge(fitting.inputs, fitting.targets, fitting.weights, alphas)
        predicted[:, held] = [found(clips.inputs[held]) for found in maps]
    return predicted
