"""Listener similarity: do artists whose embeddings are near have the same listeners?

Over all pairs of held-out artists, Spearman's rank correlation between the cosine of their
embeddings and the cosine of their listeners in the logs. The measure needs no user factors, so it
compares embeddings of any space and size: of a collaborative-filtering space, of a music tagger,
statistics of a mel spectrogram.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Vectors = NDArray[np.float32]
Values = NDArray[np.float64]
N_BOOTSTRAP = 2000
# A centred vector shorter than this share of the longest vector is rounding, without a direction.
MIN_RELATIVE_NORM = 1e-5
# Variance of ranks, as a share of the squared number of pairs, that is rounding: one value alone.
MIN_RELATIVE_VARIANCE = 1e-18


def mean_of_artists(vectors: Vectors, artist_index: NDArray[np.int64]) -> Vectors:
    """Embedding of each artist: the mean over its clips.

    Parameters
    ----------
    vectors : shape (n_clips, dim)
    artist_index : shape (n_clips,), 0 to n_artists - 1, each at least once

    Returns
    -------
    Shape (n_artists, dim).
    """
    n_artists = int(artist_index.max()) + 1
    of_artist = sparse.csr_matrix(
        (np.ones(len(artist_index)), (artist_index, np.arange(len(artist_index)))),
        shape=(n_artists, len(artist_index)),
    )
    counts = np.bincount(artist_index, minlength=n_artists)
    means = (of_artist @ vectors.astype(np.float64)) / counts[:, None]
    return np.asarray(means, np.float32)


def embedding_cosines(vectors: Vectors, centre: Vectors | None = None) -> Values:
    """Cosine of the centred embeddings of each pair of artists.

    A mean vector that all embeddings share says nothing of who is like whom, and hides what does.

    Parameters
    ----------
    vectors : shape (n_artists, dim), see `mean_of_artists`
    centre : shape (dim,), what is subtracted; None for the mean over these artists

    Returns
    -------
    Shape (n_pairs,), pairs in the order of `np.triu_indices`; 0 with a vector that is the centre.
    """
    wide = vectors.astype(np.float64)
    centred = wide - (wide.mean(0) if centre is None else centre)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    min_norm = MIN_RELATIVE_NORM * np.linalg.norm(wide, axis=1).max(initial=0)
    directions = np.where(norms > min_norm, centred / np.maximum(norms, 1e-300), 0)
    return _upper_triangle(directions @ directions.T)


def listener_cosines(artist_users: sparse.csr_matrix) -> Values:
    """Cosine of the binary listener vectors of each pair of artists.

    Parameters
    ----------
    artist_users : shape (n_artists, n_users); an entry above 0 is a listener

    Returns
    -------
    Shape (n_pairs,), pairs in the order of `np.triu_indices`; 0 with an artist without listeners.
    """
    listens = (artist_users > 0).astype(np.float64)
    n_shared = (listens @ listens.T).toarray()
    n_listeners = n_shared.diagonal()
    return _upper_triangle(n_shared / np.sqrt(np.maximum(np.outer(n_listeners, n_listeners), 1)))


def _upper_triangle(square: Values) -> Values:
    return np.asarray(square[np.triu_indices(len(square), 1)])


def rank_correlation(first: Values, second: Values) -> float:
    """Spearman's rank correlation, ties with their average rank; NaN if one side is constant.

    More than half of the pairs of artists share no listener, so ties are the rule.
    """
    return float(_weighted_correlation(_Ranking(first), _Ranking(second), np.ones(len(first))))


def bootstrap_correlation(
    cosines: Values, listeners: Values, n_artists: int, *, seed: int = 0
) -> Values:
    """Rank correlation in bootstrap samples of the artists, shape (N_BOOTSTRAP,).

    Artists are drawn, not pairs, since the pairs of one artist are correlated. A pair of an artist
    with its own copy in a sample is left out: its cosine of 1 would be found by any embedding. The
    samples of one seed are the same whatever is compared, so the difference of two embeddings of
    the same artists, sample by sample, is a paired one.

    Parameters
    ----------
    cosines, listeners : shape (n_pairs,), see `embedding_cosines` and `listener_cosines`
    """
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(n_artists, 1)
    rankings = _Ranking(cosines), _Ranking(listeners)
    samples = np.empty(N_BOOTSTRAP)
    for sample in range(N_BOOTSTRAP):
        copies = np.bincount(rng.integers(n_artists, size=n_artists), minlength=n_artists)
        samples[sample] = _weighted_correlation(*rankings, copies[first] * copies[second])
    return samples


def interval(samples: Values) -> tuple[float, float]:
    """Low and high end of the 95 % interval of bootstrap samples; NaN is left out."""
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return float(low), float(high)


class _Ranking:
    """Average ranks of values that occur several times, without sorting them again."""

    def __init__(self, values: Values) -> None:
        distinct, self.position = np.unique(values, return_inverse=True)
        self.n_distinct = len(distinct)

    def ranks(self, weights: NDArray[np.number]) -> Values:
        """Rank of each value where it occurs `weights` times, shape as the values."""
        counts = np.bincount(self.position, weights, self.n_distinct)
        last = np.cumsum(counts)
        return np.asarray((last - (counts - 1) / 2)[self.position])


def _weighted_correlation(first: _Ranking, second: _Ranking, weights: NDArray[np.number]) -> float:
    total = weights.sum()
    centred = []
    for ranking in (first, second):
        ranks = ranking.ranks(weights)
        centred.append(ranks - (weights @ ranks) / max(total, 1))
    variances = [weights @ values**2 for values in centred]
    if min(variances) <= MIN_RELATIVE_VARIANCE * max(total, 1) ** 3:
        return float("nan")
    return float(weights @ (centred[0] * centred[1]) / np.sqrt(variances[0] * variances[1]))
