"""Artist-disjoint split into train, validation and test, by the one deal of all artists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.errors import BadSplit, BadTable, EmptyPart, MissingInput
from training.tables.reader import read_text

PARTS = ("train", "validation", "test")
COLUMNS = ("track_id", "item_id", "artist", "part")


def split_by_artist(
    tracks: pd.DataFrame, *, fold: int = 0, validation: float = 0.1
) -> pd.DataFrame:
    """Assign artists to parts: one fold is the test part, a share of the other artists validates.

    The part of an artist is by `training.datasets.folds.deal_fold` of the artist's key, so it is
    the same in every set of tracks, and an encoder that is trained without a fold has heard none
    of the artists of that fold of a labelled data set either. An item of several artists is in the
    part of the first of them in the order of keys.

    Parameters
    ----------
    tracks : with the columns `track_id`, `item_id`, `artist`
    validation : share of the artists outside the test fold, by another hash of the key

    Returns
    -------
    The same columns, the key of the artist in place of the name, and `part`.

    Raises
    ------
    EmptyPart
        Where no artist is in a part.
    """
    split = tracks[["track_id", "item_id"]].copy()
    split["artist"], first = _name_artists(tracks), group_by_artist(tracks)
    part_of = {key: _part_of(key, fold, validation) for key in first.unique()}
    split["part"] = first.map(part_of)
    for part in PARTS:
        if not (split["part"] == part).any():
            raise EmptyPart(part, fold, len(part_of))
    return split


def group_by_artist(tracks: pd.DataFrame) -> pd.Series:
    """The artist's key that each track is split by: of an item of several artists, the first one.

    Tracks without an item are grouped by their own artist.

    Parameters
    ----------
    tracks : with the columns `item_id`, empty where unknown, and `artist`
    """
    keys, items = _name_artists(tracks), tracks["item_id"]
    is_known = items != ""
    return keys.where(~is_known, keys[is_known].groupby(items[is_known]).transform("min"))


def shared_items(tracks: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Items of several artists, who are in one part therefore: item → keys of its artists.

    Where sets count their items differently, these are different items of the same id.

    Parameters
    ----------
    tracks : as of `split_by_artist`
    """
    keys, items = _name_artists(tracks), tracks["item_id"]
    is_known = items != ""
    by_item = keys[is_known].groupby(items[is_known]).unique()
    return {str(item): tuple(sorted(found)) for item, found in by_item.items() if len(found) > 1}


def _name_artists(tracks: pd.DataFrame) -> pd.Series:
    """Key of each track's artist; without a name, each item is its own artist."""
    keys = tracks["artist"].map(artist_key)
    return keys.where(keys != "", "item " + tracks["item_id"])


def _part_of(key: str, fold: int, validation: float) -> str:
    if deal_fold(key) == fold:
        return "test"
    digest = hashlib.sha256(f"validation:{key}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "validation" if share < validation else "train"


def items_of(split: pd.DataFrame, parts: Sequence[str]) -> set[str]:
    """Ids of the items of these parts."""
    return set(split.loc[split["part"].isin(parts), "item_id"])


def load_split(path: Path) -> pd.DataFrame:
    """Read a split file.

    Raises
    ------
    MissingInput
    BadSplit
        If a column is missing, a track is named twice, or a part is none.
    """
    if not path.exists():
        raise MissingInput(path, "tasteprint-train split")
    try:
        split = read_text(path, COLUMNS)
    except BadTable as error:
        raise BadSplit(path, error.reason) from error
    repeated = split["track_id"][split["track_id"].duplicated()]
    if len(repeated):
        raise BadSplit(
            path,
            f"names the track {repeated.iloc[0]!r} more than once ({len(repeated)} rows too many), "
            "and a track that is in two parts is learnt from and tested",
        )
    odd = split[~split["part"].isin(PARTS)]
    if len(odd):
        part = odd["part"].iloc[0]
        raise BadSplit(path, f"has the part {part!r}, which is not one of {', '.join(PARTS)}")
    return split
