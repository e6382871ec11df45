"""Recordings and renderings of the same songs: how near is an embedding to its partner's?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.evaluation.methods import Method
from training.evaluation.names import MEAN
from training.evaluation.ranking_metrics import bootstrap_over_groups

Vectors = NDArray[np.float32]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class PairScores:
    """Scores of one fold's held-out pairs of a recording and a rendering.

    Attributes
    ----------
    artists : (n_pairs,), key of the artist of each pair
    by_pair : method → measure → (n_pairs,), see `partner_measures`
    """

    artists: NDArray[np.str_]
    by_pair: dict[str, dict[str, Values]]

    def save(self, path: Path) -> None:
        arrays = {
            f"{method}/{measure}": values
            for method, measures in self.by_pair.items()
            for measure, values in measures.items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, artists=self.artists, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> PairScores:
        stored = dict(np.load(path))
        artists = stored.pop("artists")
        by_pair: dict[str, dict[str, Values]] = {}
        for key, values in stored.items():
            method, _, measure = key.rpartition("/")
            by_pair.setdefault(method, {})[measure] = values
        return cls(artists, by_pair)


def match_pairs(
    recordings: pd.DataFrame, renderings: pd.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the recordings that have a rendering of their track id, and of the renderings.

    Of several renderings of a track the first is taken.
    """
    first = renderings["track_id"].drop_duplicates()
    found = pd.Index(first).get_indexer(recordings["track_id"])
    positions = np.flatnonzero(~renderings["track_id"].duplicated().to_numpy())
    return np.flatnonzero(found >= 0), positions[found[found >= 0]]


def score_pairs(
    recordings: Mapping[str, Method], renderings: Mapping[str, Method], artists: NDArray[np.str_]
) -> PairScores:
    """Scores of every method but the mean vector, which is the same for all.

    Parameters
    ----------
    recordings, renderings : method → vectors, row by row of partners
    """
    return PairScores(
        artists,
        {
            name: partner_measures(method.vectors, renderings[name].vectors)
            for name, method in recordings.items()
            if name != MEAN
        },
    )


def partner_measures(recordings: Vectors, renderings: Vectors) -> dict[str, Values]:
    """Cosine and rank of the partner, one value for each pair.

    The mean of the recordings and that of the renderings are subtracted for `centred_cosine` and
    for the rank, since a difference that all pairs share is no failure to find the partner.

    Parameters
    ----------
    recordings, renderings : shape (n_pairs, dim), row by row of partners

    Returns
    -------
    `cosine`, `centred_cosine`; `percentile`: share of the other renderings that are less near to
    the recording than its own, ties half (0.5 by chance); `first`: 1 where no other is as near.
    """
    centred = _cosines(recordings - recordings.mean(0), renderings - renderings.mean(0))
    own = centred.diagonal()[:, None]
    others = ~np.eye(len(centred), dtype=bool)
    below = ((centred < own) & others).sum(1) + 0.5 * ((centred == own) & others).sum(1)
    n_others = max(len(centred) - 1, 1)
    return {
        "cosine": _cosines(recordings, renderings).diagonal().copy(),
        "centred_cosine": own[:, 0].copy(),
        "percentile": below / n_others,
        "first": (below == n_others).astype(np.float64),
    }


def summarize_pairs(folds: Sequence[PairScores]) -> dict[str, Any]:
    """Mean and 95 % interval over artists of each measure, pooled over folds.

    The rank is among the renderings of the fold.
    """
    artists = np.concatenate([fold.artists for fold in folds])
    groups = np.unique(artists, return_inverse=True)[1]
    methods = [name for name in folds[0].by_pair if all(name in fold.by_pair for fold in folds)]
    return {
        "n_pairs": len(artists),
        "n_artists": int(groups.max()) + 1,
        "methods": {
            name: {
                measure: list(
                    bootstrap_over_groups(
                        np.concatenate([fold.by_pair[name][measure] for fold in folds]), groups
                    )
                )
                for measure in folds[0].by_pair[name]
            }
            for name in methods
        },
    }


def _cosines(first: Vectors, second: Vectors) -> Values:
    unit = []
    for vectors in (first, second):
        wide = vectors.astype(np.float64)
        unit.append(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))
    return np.asarray(unit[0] @ unit[1].T)
