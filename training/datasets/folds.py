"""Cross-validation folds: which tracks are in the train, validation and test part."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

N_FOLDS = 5
# Where a set states no validation part, one of this many folds of the training part is taken.
VALIDATION_FOLDS = 8
# Chosen by the balance of the folds alone: see `deal_fold`.
SALT = "artist folds 28527796"


def deal_fold(artist: str) -> int:
    """The fold of an artist, from 0 to 4: one deal of all artists of all data sets.

    A hash of the artist's key, so that an artist is in the same fold of every set, whichever sets
    there are: what is trained on one set without a fold has heard no artist of that fold of
    another set.

    The salt was chosen by balance alone, before any model was fitted on the folds. A class deviates
    by its largest deviation from a fifth of its tracks in a fold. Of the first 64 million salts,
    105 leave each genre of Emotify within a half of a fifth; of these, it minimises the sum of two
    maxima: over the classes of Emotify, mood quadrants and mood clusters (0.46), and over all
    tracks of either folder and the artists, tracks and listeners of the MIDI excerpts (0.14).

    Parameters
    ----------
    artist : of `artist_key.artist_key`
    """
    digest = hashlib.sha256(f"{SALT}:{artist}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % N_FOLDS


def assign_folds(tracks: pd.DataFrame, n_folds: int = N_FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """A fold for each track: grouped by artist where known, stratified by label where there is one.

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
        # Without groups, StratifiedKFold balances classes better than StratifiedGroupKFold.
        splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(**options)
    else:
        splitter = (GroupKFold if grouped else KFold)(**options)
    labels = tracks.get("label")
    folds = np.empty(len(tracks), np.int64)
    # Splitters that take no groups warn where some are given.
    splits = splitter.split(tracks, labels, groups if grouped else None)
    for fold, (_, held_out) in enumerate(splits):
        folds[held_out] = fold
    return folds


def count_folds(tracks: pd.DataFrame) -> int:
    """The number of folds; 1 where the set states the parts itself."""
    return 1 if "part" in tracks else int(tracks["fold"].max()) + 1


def assign_parts(tracks: pd.DataFrame, fold: int | None) -> NDArray[np.str_]:
    """`train`, `validation` or `test` for each track; the validation part is chosen like a fold.

    The seed of a training run does not enter: runs of one fold have the same parts.

    Parameters
    ----------
    fold : the fold that is held out for testing; None holds nothing out
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
        n_folds = min(VALIDATION_FOLDS, _max_folds(candidates))
        folds = assign_folds(candidates, n_folds, fold or 0)
        parts[training[folds == _most_representative_fold(candidates, folds)]] = "validation"
    return parts


def _max_folds(tracks: pd.DataFrame) -> int:
    """The number of tracks of the rarest class, at most the number of artists, at least 2."""
    groups = tracks["artist"].where(tracks["artist"] != "", tracks["track_id"])
    rarest = tracks["label"].value_counts().min() if "label" in tracks else len(tracks)
    return int(max(2, min(groups.nunique(), rarest)))


def _most_representative_fold(tracks: pd.DataFrame, folds: NDArray[np.int64]) -> int:
    """The fold nearest to its share of each class: with few artists, folds differ a lot."""
    labels = tracks["label"].to_numpy(str) if "label" in tracks else np.repeat("", len(tracks))
    counts = pd.crosstab(folds, labels).to_numpy()
    return int(np.abs(counts - counts.sum(0) / len(counts)).sum(1).argmin())
