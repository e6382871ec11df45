"""Labels of clips: from columns of their manifest, or the tags of their artists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.datasets.published.artist_tags import MSD_TAGS, has_tags, read_tags
from training.errors import BadManifest, TooFewLabels
from training.objectives.groups import Group, GroupDraws

SEPARATOR = ";"


@dataclass(frozen=True)
class Labels:
    """Which clip has which label.

    Attributes
    ----------
    has : one row per clip and one column per label, 0.0 or 1.0
    is_known : (n_clips,), whether anything is known of a clip; a clip of which nothing is known may
        have any label
    """

    has: pd.DataFrame
    is_known: NDArray[np.bool_]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.has.columns)

    def choose(
        self, is_training: NDArray[np.bool_], *, max_labels: int, min_clips: int
    ) -> pd.DataFrame:
        """The most frequent labels of the training clips, in the order of their frequency.

        Raises
        ------
        TooFewLabels
        """
        counts = self.has[self.is_known & is_training].sum()
        enough = counts[counts >= min_clips].sort_values(ascending=False, kind="stable")
        if len(enough) < 2:
            raise TooFewLabels(len(enough), min_clips, int(counts.max()) if len(counts) else 0)
        return self.has[enough.index[:max_labels]]


# Tracks with the columns of a manifest -> their labels.
ReadLabels = Callable[[pd.DataFrame], Labels]


def labels_of_columns(tracks: pd.DataFrame, columns: Sequence[str]) -> Labels:
    """What stands in columns of the manifest, labels separated by `;`; empty where unknown.

    Raises
    ------
    BadManifest
        If a column is missing.
    """
    for column in columns:
        if column not in tracks:
            known = ", ".join(map(str, tracks.columns))
            reason = f"has no column {column}, only {known}; give --label-column one of them"
            raise BadManifest(Path("tracks.csv"), reason)
    texts = tracks[list(columns)].fillna("").astype(str).agg(SEPARATOR.join, axis=1)
    has = texts.str.get_dummies(sep=SEPARATOR)
    # `Pop/Rock; Jazz` is split into `Pop/Rock` and ` Jazz`.
    has = has.T.groupby(has.columns.str.strip()).max().T.astype(float)
    has = has.drop(columns="", errors="ignore")
    return Labels(has, np.asarray(has.sum(axis=1) > 0))


def labels_of_artists(tracks: pd.DataFrame, tags: Path) -> Labels:
    """Tags of the Million Song Dataset that users gave a clip's artist.

    Parameters
    ----------
    tracks : with `item_id`, the artist's id
    tags : table of `artist_id`, `tag` and `n_users`, see `training.datasets.published.artist_tags`

    Raises
    ------
    BadDataset
    """
    table = read_tags(tags)
    has = has_tags(tracks["item_id"], table, MSD_TAGS)
    return Labels(has, np.asarray(tracks["item_id"].isin(table["artist_id"])))


class LabelDraws(GroupDraws):
    """Groups of one crop: a clip's, and its labels (n_labels,)."""

    group_size = 1

    def __init__(self, rows: NDArray[np.int64], labels: NDArray[np.float32]) -> None:
        self.rows, self.labels = rows, labels

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, index: int, rng: np.random.Generator) -> Group:
        return Group(self.rows[index : index + 1], (self.labels[index],))

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return self.rows, self.labels
