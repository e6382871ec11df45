"""Artist-disjoint split into train, validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from training.errors import MissingInput


def split_by_artist(
    tracks: pd.DataFrame,
    *,
    n_folds: int = 5,
    fold: int = 0,
    validation: float = 0.1,
    seed: int = 0,
) -> pd.DataFrame:
    """Assign artists to folds; one fold is the test part, a share of the others validation.

    No artist's audio or listeners are in two parts. The folds are a shuffle of these artists; the
    next encoder's are to be those of `training.datasets.folds.deal_fold`, in which an artist has
    one fold in every data set.

    Parameters
    ----------
    tracks : with the columns `track_id`, `item_id`, `artist`
    validation : share of the artists outside the test fold

    Returns
    -------
    The same columns and `part`: `train`, `validation` or `test`.
    """
    artists = np.array(sorted(tracks["artist"].unique()))
    np.random.default_rng(seed).shuffle(artists)
    test = set(artists[fold::n_folds])
    others = [artist for artist in artists if artist not in test]
    validating = set(others[: round(validation * len(others))])
    split = tracks[["track_id", "item_id", "artist"]].copy()
    split["part"] = [
        "test" if artist in test else "validation" if artist in validating else "train"
        for artist in split["artist"]
    ]
    return split


def items_of(split: pd.DataFrame, parts: Sequence[str]) -> set[str]:
    """Ids of the items of these parts."""
    return set(split.loc[split["part"].isin(parts), "item_id"])


def load_split(path: Path) -> pd.DataFrame:
    """Read a split file.

    Raises
    ------
    MissingInput
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise MissingInput(path, "tasteprint-train split") from error
