"""Summary of scores: mean and 95 % interval of each measure, over one fold or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import SharedArtists
from training.evaluation.listener_similarity import (
    bootstrap_correlation,
    interval,
    rank_correlation,
)
from training.evaluation.names import compared_methods
from training.evaluation.ranking_metrics import bootstrap_over_groups
from training.evaluation.scores import Scores

Values = NDArray[np.float64]
WHO_LISTENS = "who_listens"
# Measure → [mean, low and high end of the 95 % interval].
Row = dict[str, list[float]]


def summarize(folds: Sequence[Scores], encoders: Sequence[str]) -> dict[str, Any]:
    """Metrics of each method and paired differences, pooled over folds.

    User AUC and cosine are means over all held-out clips, with intervals over artists; recall and
    nDCG are means over users. The correlation of who listens is computed within each fold, whose
    encoders have spaces of their own, and averaged over folds; artists are resampled within folds.

    Parameters
    ----------
    folds : the same group of clips in each fold; a method that a fold lacks is left out
    encoders : names of the encoders that the network is compared with

    Raises
    ------
    SharedArtists
        If two folds hold out the same artist.
    """
    _require_disjoint(folds)
    methods = [name for name in folds[0].by_pair if all(name in fold.by_pair for fold in folds)]
    pooled = _Pooled(folds)
    return {
        "n_clips": sum(len(fold.artists) for fold in folds),
        "n_items": sum(fold.n_items for fold in folds),
        "n_artists": sum(fold.n_artists for fold in folds),
        "methods": {name: pooled.row(name) for name in methods},
        "differences": {
            f"{first} − {second}": pooled.difference(first, second)
            for first, second in compared_methods(methods, encoders)
        },
    }


class _Pooled:
    """Folds pooled: values of their clips and users one after another, and the groups of those."""

    def __init__(self, folds: Sequence[Scores]) -> None:
        self.folds = folds
        self.groups = {
            "by_clip": _index(np.concatenate([fold.artists for fold in folds])),
            "by_user": _index(np.concatenate([fold.users for fold in folds])),
        }
        self.samples: dict[str, Values] = {}

    def row(self, method: str) -> Row:
        """Metrics of a method: mean and interval; a measure without a value is left out."""
        row: Row = {}
        for kind, groups in self.groups.items():
            for measure, values in self._values(kind, method).items():
                row[measure] = list(bootstrap_over_groups(values, groups))
        return row | self._who_listens(self._correlation(method), self._samples(method))

    def difference(self, first: str, second: str) -> Row:
        """Paired differences of the measures that both methods have, first minus second."""
        row: Row = {}
        for kind, groups in self.groups.items():
            values, other = self._values(kind, first), self._values(kind, second)
            for measure in values:
                if measure in other:
                    gain = values[measure] - other[measure]
                    row[measure] = list(bootstrap_over_groups(gain, groups))
        return row | self._who_listens(
            self._correlation(first) - self._correlation(second),
            self._samples(first) - self._samples(second),
        )

    def _values(self, kind: str, method: str) -> dict[str, Values]:
        """Measure → values of all folds; empty for a method in no CF space."""
        tables = [getattr(fold, kind).get(method, {}) for fold in self.folds]
        return {
            measure: np.concatenate([table[measure] for table in tables]) for measure in tables[0]
        }

    def _correlation(self, method: str) -> float:
        return float(
            np.mean([rank_correlation(fold.by_pair[method], fold.listeners) for fold in self.folds])
        )

    def _samples(self, method: str) -> Values:
        """Bootstrap samples of the mean over folds, the same artists for every method."""
        if method not in self.samples:
            samples = [
                bootstrap_correlation(
                    fold.by_pair[method], fold.listeners, fold.n_artists, seed=seed
                )
                for seed, fold in enumerate(self.folds)
            ]
            self.samples[method] = np.mean(samples, axis=0)
        return self.samples[method]

    @staticmethod
    def _who_listens(mean: float, samples: Values) -> Row:
        """Nothing where a method has one vector for all artists, or there are too few artists."""
        return {} if np.isnan(mean) else {WHO_LISTENS: [mean, *interval(samples)]}


def _index(groups: NDArray[np.str_]) -> NDArray[np.int64]:
    return np.unique(groups, return_inverse=True)[1]


def _require_disjoint(folds: Sequence[Scores]) -> None:
    seen: set[str] = set()
    for fold in folds:
        artists = set(fold.artists.tolist())
        if both := sorted(seen & artists):
            raise SharedArtists(len(both), both[0])
        seen |= artists
