"""Which tracks train, which choose the checkpoint, and which judge."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

N_FOLDS = 5
# The validation part, where a set has none of its own: one of so many folds of the training part.
VALIDATION_FOLDS = 8


def deal_folds(tracks: pd.DataFrame, n_folds: int = N_FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """A fold for each track: by artist where artists are known, stratified where there are labels.

    Parameters
    ----------
    tracks : with `track_id`, `artist` (empty where unknown), and `label` if there are classes

    Returns
    -------
    int, shape (len(tracks),), from 0 to n_folds - 1
    """
    groups = tracks["artist"].where(tracks["artist"] != "", "track " + tracks["track_id"])
    grouped = bool((tracks["artist"] != "").any())
    options = {"n_splits": n_folds, "shuffle": True, "random_state": seed}
    if "label" in tracks:
        # Without groups, the plain one deals classes more evenly.
        folder = (StratifiedGroupKFold if grouped else StratifiedKFold)(**options)
    else:
        folder = (GroupKFold if grouped else KFold)(**options)
    answers = tracks.get("label")
    folds = np.empty(len(tracks), np.int64)
    # Splitters without groups warn of any that they are given.
    for fold, (_, held_out) in enumerate(
        folder.split(tracks, answers, groups if grouped else None)
    ):
        folds[held_out] = fold
    return folds


def n_folds_of(tracks: pd.DataFrame) -> int:
    """1 where the set states the parts itself."""
    return 1 if "part" in tracks else int(tracks["fold"].max()) + 1


def parts_of(tracks: pd.DataFrame, fold: int | None) -> NDArray[np.str_]:
    """`train`, `validation` or `test` for each track; the validation part is dealt like a fold.

    The seed of a training run has no part in it: runs of one fold see the same tracks.

    Parameters
    ----------
    fold : the one held out; None holds nothing out
    """
    if "part" in tracks:
        stated = tracks["part"].to_numpy(str)
    else:
        stated = np.where(tracks["fold"].to_numpy() == fold, "test", "train")
    parts: NDArray[np.str_] = stated.astype("<U10")  # wide enough for `validation`
    if fold is None:
        parts[parts == "test"] = "train"
    if not (parts == "validation").any():
        training = np.flatnonzero(parts == "train")
        candidates = tracks.iloc[training].reset_index(drop=True)
        n_folds = min(VALIDATION_FOLDS, _most_folds(candidates))
        dealt = deal_folds(candidates, n_folds, fold or 0)
        parts[training[dealt == _most_typical(tracks.iloc[training], dealt)]] = "validation"
    return parts


def _most_folds(tracks: pd.DataFrame) -> int:
    """As many folds as every class has tracks, and the set has artists; at least 2."""
    groups = tracks["artist"].where(tracks["artist"] != "", tracks["track_id"])
    rarest = tracks["label"].value_counts().min() if "label" in tracks else len(tracks)
    return int(max(2, min(groups.nunique(), rarest)))


def _most_typical(tracks: pd.DataFrame, folds: NDArray[np.int64]) -> int:
    """The fold nearest to its share of each class: with few artists, folds differ a lot."""
    labels = tracks["label"].to_numpy(str) if "label" in tracks else np.repeat("", len(tracks))
    counts = pd.crosstab(folds, labels).to_numpy()
    return int(np.abs(counts - counts.sum(0) / len(counts)).sum(1).argmin())
