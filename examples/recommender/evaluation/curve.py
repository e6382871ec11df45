"""Curve of what sound is worth: user AUC by the number of listeners that were seen.

Of each held-out artist, 20 listeners in a random order are seen one after another; the others are
judged against the users who do not listen, always the same ones, so that points can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.recommender.blend import blend, prior_mean, unit
from examples.recommender.evaluation.folds import MEAN, PREDICTION, RIDGE, Fold, Songs
from examples.recommender.factors import Factors, Vectors

Values = NDArray[np.float64]

SEEN = (0, 1, 2, 3, 5, 10, 20)
MIN_JUDGED = 5
N_DRAWS, N_BOOTSTRAP = 5, 2000
PRECISIONS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
N_0 = (1.0, 2.0, 3.0, 5.0, 8.0)
FOLD_IN, CEILING, POPULARITY = "fold-in", "ceiling", "popularity"
BLEND, WEIGHTED = "blend (prior mean)", "blend (n/(n + n0))"
Parameters = dict[str, tuple[float, ...]]
FAMILIES: Parameters = {BLEND: PRECISIONS, WEIGHTED: N_0}


def measure_songs(
    fold: Fold, songs: Songs, seed: int, parameters: Parameters
) -> tuple[dict[Any, Values], Values]:
    """User AUC of each song with enough listeners, by method and listeners seen.

    Parameters
    ----------
    parameters : of each family of blends

    Returns
    -------
    Method, or family and parameter → (n_songs, len(SEEN)); and the artist of each of those songs.
    """
    found: dict[Any, list[Values]] = {}
    artists = []
    for artist, listens in enumerate(songs.listens):
        listeners = np.flatnonzero(listens)
        if len(listeners) < SEEN[-1] + MIN_JUDGED:
            continue
        own = np.flatnonzero(songs.artist_index == artist)
        predicted = {name: vectors[own] for name, vectors in songs.predicted.items()}
        draws = []
        for draw in range(N_DRAWS):
            order = np.random.default_rng([seed, artist, draw]).permutation(listeners)
            draws.append(_measure_draw(fold, predicted, order, ~listens, parameters))
        for method in draws[0]:
            found.setdefault(method, []).append(np.mean([aucs[method] for aucs in draws], 0))
        artists += [artist] * len(own)
    return {method: np.concatenate(parts) for method, parts in found.items()}, np.array(artists)


def _measure_draw(
    fold: Fold,
    predicted: dict[str, Vectors],
    order: NDArray[np.int64],
    others: NDArray[np.bool_],
    parameters: Parameters,
) -> dict[Any, Values]:
    """User AUC of an artist's songs, (n_songs, len(SEEN)), for one order of its listeners."""
    factors, judged = fold.factors, order[SEEN[-1] :]
    n_songs = len(predicted[PREDICTION])

    def auc(vectors: Vectors) -> Values:
        return _user_auc(vectors @ factors.user_factors.T, judged, others)

    def constant(aucs: Values) -> Values:
        return np.tile(np.broadcast_to(aucs, n_songs)[:, None], len(SEEN))

    found = {name: constant(auc(vectors)) for name, vectors in predicted.items()}
    found[CEILING] = constant(auc(factors.fold_in_item(factors.user_factors[order])[None]))
    activity = fold.n_artists[None].astype(np.float32)
    found[POPULARITY] = constant(_user_auc(activity, judged, others))
    for method, vectors_of in _methods(factors, predicted[PREDICTION], parameters).items():
        by_seen = [auc(vectors_of(factors.user_factors[order[:n]])) for n in SEEN]
        found[method] = np.stack([np.broadcast_to(aucs, n_songs) for aucs in by_seen], 1)
    return found


def _methods(
    factors: Factors, predicted: Vectors, parameters: Parameters
) -> dict[Any, Callable[[Vectors], Vectors]]:
    """Methods that see listeners: their factors, (n, dim) → vectors of the songs."""
    methods: dict[Any, Callable[[Vectors], Vectors]] = {
        FOLD_IN: lambda listeners: factors.fold_in_item(listeners)[None]
    }
    for precision in parameters[BLEND]:
        methods[BLEND, precision] = partial(_blend, factors, predicted, precision)
    for n_0 in parameters[WEIGHTED]:
        methods[WEIGHTED, n_0] = partial(_weigh, factors, predicted, n_0)
    return methods


def _blend(factors: Factors, predicted: Vectors, precision: float, listeners: Vectors) -> Vectors:
    means = prior_mean(factors, predicted)
    return np.stack([factors.fold_in_item(listeners, mean, precision) for mean in means])


def _weigh(factors: Factors, predicted: Vectors, n_0: float, listeners: Vectors) -> Vectors:
    share = len(listeners) / (len(listeners) + n_0)
    folded_in = unit(factors.fold_in_item(listeners)[None])
    return np.asarray(share * folded_in + (1 - share) * predicted, np.float32)


def _user_auc(
    scores: NDArray[np.float32], judged: NDArray[np.int64], others: NDArray[np.bool_]
) -> Values:
    """Probability that a judged listener scores above another user; ties count half."""
    aucs = []
    for row in scores:
        sorted_others = np.sort(row[others])
        below = sorted_others.searchsorted(row[judged], "left")
        at_most = sorted_others.searchsorted(row[judged], "right")
        aucs.append((below + at_most).mean() / 2 / len(sorted_others))
    return np.array(aucs)


def choose(folds: list[dict[Any, Values]], family: str, without: int | None = None) -> float:
    """The parameter with the best mean user AUC after the first listener, on the other folds."""
    others = [values for number, values in enumerate(folds) if number != without]

    def mean(parameter: float) -> float:
        songs = np.concatenate([values[family, parameter] for values in others])
        return float(songs[:, 1:].mean())

    return max(FAMILIES[family], key=mean)


def summarize(values: dict[str, Values], groups: NDArray[np.int64]) -> dict[str, Any]:
    """Mean and 95 % interval over artists: of each method, of differences, and of the crossing."""
    draws = np.random.default_rng(0).integers(
        groups.max() + 1, size=(N_BOOTSTRAP, groups.max() + 1)
    )
    means = {name: _resample(songs, groups, draws) for name, songs in values.items()}

    def interval(mean: Values, resampled: Values) -> list[list[float]]:
        low, high = np.percentile(resampled, [2.5, 97.5], 0)
        rows: list[list[float]] = np.round([mean, low, high], 4).T.tolist()
        return rows

    curve = {name: interval(values[name].mean(0), means[name]) for name in values}
    pairs = [(BLEND, FOLD_IN), (BLEND, PREDICTION), (BLEND, WEIGHTED), (PREDICTION, RIDGE)]
    pairs += [(PREDICTION, MEAN), (BLEND, CEILING)]
    differences = {
        f"{first} minus {second}": interval(
            (values[first] - values[second]).mean(0), means[first] - means[second]
        )
        for first, second in pairs
    }
    worth = [
        _crossing(row, prediction)
        for row, prediction in zip(means[FOLD_IN], means[PREDICTION], strict=True)
    ]
    own = _crossing(values[FOLD_IN].mean(0), values[PREDICTION].mean(0))
    low, high = np.percentile(worth, [2.5, 97.5])
    return {
        "n_songs": len(groups),
        "n_artists": int(groups.max()) + 1,
        "user_auc": curve,
        "differences": differences,
        "worth_listeners": np.round([own, low, high], 2).tolist(),
    }


def _resample(songs: Values, groups: NDArray[np.int64], draws: NDArray[np.int64]) -> Values:
    """Means over songs with artists resampled, (N_BOOTSTRAP, len(SEEN))."""
    totals = np.stack([np.bincount(groups, column) for column in songs.T], 1)
    counts = np.bincount(groups)
    return np.asarray(totals[draws].sum(1) / counts[draws].sum(1)[:, None])


def _crossing(fold_in: Values, prediction: Values) -> float:
    """Listeners at which the fold-in is as good as sound, interpolated; 20 if it never is."""
    sound = float(prediction[0])  # the same for any number of listeners
    values: list[float] = fold_in.tolist()
    points = list(zip(SEEN, values, strict=True))
    for (n, value), (next_n, next_value) in pairwise(points):
        if next_value >= sound:
            return n + (next_n - n) * (sound - value) / (next_value - value)
    return float(SEEN[-1])


def lengths(folds: list[Fold]) -> dict[str, list[float]]:
    """Mean length of item factors, and of blends of held-out recordings, by listeners."""
    factor_lengths: dict[int, list[float]] = {n: [] for n in SEEN}
    blend_lengths: dict[int, list[float]] = {n: [] for n in SEEN}
    priors = []
    for fold in folds:
        factors, songs = fold.factors, fold.songs["recordings"]
        priors.append(factors.prior_length)
        n_listeners = fold.user_items.getnnz(0)
        norms = np.linalg.norm(factors.item_factors, axis=1)
        for n in SEEN:
            factor_lengths[n] += norms[n_listeners == n].tolist()
        for song, artist in zip(songs.predicted[PREDICTION], songs.artist_index, strict=True):
            order = np.random.default_rng([0, artist]).permutation(
                np.flatnonzero(songs.listens[artist])
            )
            for n in SEEN:
                if len(order) >= n:
                    vector = blend(factors, song, factors.user_factors[order[:n]]).vector
                    blend_lengths[n].append(float(np.linalg.norm(vector)))
    return {
        "prior": [round(float(np.mean(priors)), 4)],
        "item factors": [round(float(np.mean(factor_lengths[n] or [0])), 4) for n in SEEN],
        "blends": [round(float(np.mean(blend_lengths[n])), 4) for n in SEEN],
    }
