"""Training and validation clips of an encoder: rows, targets, sets, and sampling weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.audio.prepared_sets import SET
from training.cf.als import Factorization
from training.datasets.accounts import (
    MIN_SHARE,
    Account,
    account_targets,
    check_account,
    count_join,
)
from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.errors import NothingToTrain
from training.estimator.settings import TargetScale

# The set of all clips that are given without factors.
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Clips:
    """Clips of one part of the split.

    Attributes
    ----------
    tracks : one row per clip: `track_id`, `row`, `set`, and `artist`, the artist's key
    factors : float32, shape (n_clips, dim); NaN where the clip's item has no factor
    """

    tracks: pd.DataFrame
    factors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def rows(self) -> NDArray[np.int64]:
        return np.asarray(self.tracks["row"], np.int64)

    @property
    def set_names(self) -> tuple[str, ...]:
        """Names of the sets, in the order of their first clips."""
        return tuple(self.tracks["set"].unique())

    @property
    def set_index(self) -> NDArray[np.int64]:
        """Index of each clip's set in `set_names`, shape (n_clips,)."""
        return np.asarray(pd.Categorical(self.tracks["set"], self.set_names).codes, np.int64)

    @property
    def balanced_weights(self) -> NDArray[np.float64]:
        """Sampling weight of each clip, shape (n_clips,): every set as often as any other.

        Within a set a clip has the weight 1/√n, n the clips of its artist there: an artist of many
        clips is heard more often than one of few, but not as many times more often.
        """
        groups = self.tracks.groupby(["set", "artist"])["row"]
        weights = 1 / np.sqrt(groups.transform("size"))
        return np.asarray(weights / weights.groupby(self.tracks["set"]).transform("sum"))


@dataclass(frozen=True)
class LeftOut:
    """Clips without factors: how many are trained on, and how many are left out for which reason.

    Attributes
    ----------
    held_out : by artists on the test or validation side of the split, `n_artists` of them
    unknown : without an artist, who might be on either side
    """

    n_kept: int
    held_out: int
    n_artists: int
    unknown: int

    def __str__(self) -> str:
        return (
            f"{self.n_kept} clips without factors; left out: {self.held_out} of {self.n_artists} "
            f"artists that test or validate, {self.unknown} without an artist"
        )


def align_factors(
    tracks: pd.DataFrame, factors: Factorization, scale: TargetScale
) -> NDArray[np.float32]:
    """The target of each track, float32, shape (n_tracks, dim); NaN where its item has no factor.

    With `unit`, each factor is divided by its length. The length grows with the number of plays,
    which the audio does not determine, and would let a few popular items dominate the squared
    error.
    """
    position = factors.items.get_indexer(tracks["item_id"])
    targets = factors.item_factors[position]
    if scale == "unit":
        targets = targets / np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), 1e-12)
    aligned: NDArray[np.float32] = targets.astype(np.float32)
    aligned[position < 0] = np.nan
    return aligned


def join_targets(
    tracks: pd.DataFrame, factors: Factorization, scale: TargetScale
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of `windows` and their targets, for the tracks whose item has a factor."""
    targets = align_factors(tracks, factors, scale)
    is_known = ~np.isnan(targets).any(1)
    return tracks["row"].to_numpy(np.int64)[is_known], targets[is_known]


def choose_clips(
    tracks: pd.DataFrame,
    split: pd.DataFrame,
    part: str,
    factors: Factorization,
    scale: TargetScale,
    *,
    keep_unknown: bool = False,
) -> Clips:
    """The clips of a part whose item has a factor.

    Parameters
    ----------
    tracks : of the prepared sets; with a column `set` if there are several
    keep_unknown : whether to keep the clips whose item has no factor too

    Raises
    ------
    NothingToTrain
        If no item of the part has a factor.
    """
    chosen = split.loc[split["part"] == part, ["track_id", "artist"]].set_index("track_id")
    found = tracks[tracks["track_id"].isin(chosen.index)]
    targets = align_factors(found, factors, scale)
    is_known = ~np.isnan(targets).any(1)
    if not is_known.any():
        raise NothingToTrain(part, len(found))
    keep = is_known | keep_unknown
    table = found.assign(
        artist=chosen["artist"][found["track_id"]].to_numpy(), set=found.get(SET, "")
    )
    return Clips(table[keep], targets[keep])


def account_parts(
    tracks: pd.DataFrame, split: pd.DataFrame, factors: Factorization, *, allow_missing: bool
) -> list[Account]:
    """Accounts of the prepared tracks in the split, and of its parts in the factors.

    Raises
    ------
    Unmatched
    """
    in_split = count_join(tracks, "prepared", split["track_id"], "the split", key="track_id")
    what = "tracks that the split does not name are left out"
    accounts = [check_account(in_split, MIN_SHARE, allow_missing=allow_missing, what=what)]
    parts = tracks["track_id"].map(split.drop_duplicates("track_id").set_index("track_id")["part"])
    for part in ("train", "validation"):
        some = tracks[parts == part]
        # A part without any clip with a factor has an error of its own, whatever is allowed.
        accounts.append(
            account_targets(some, f"{part} part", factors.items, allow_missing=allow_missing)
        )
    return accounts


def choose_unlabelled(tracks: pd.DataFrame, split: pd.DataFrame, dim: int) -> tuple[Clips, LeftOut]:
    """The clips without factors that a network may hear: none by artists held out in the split.

    The split need not name their artists: those of its test fold are known by the one deal.

    Parameters
    ----------
    dim : of the factors, all of them NaN
    """
    keys = tracks["artist"].map(artist_key)
    sides = {part: set(split.loc[split["part"] == part, "artist"]) for part in split["part"]}
    test = sides.get("test", set())
    folds = {deal_fold(key) for key in test}
    held_out = test | sides.get("validation", set())
    is_unknown = keys == ""
    is_held_out = ~is_unknown & keys.map(lambda key: key in held_out or deal_fold(key) in folds)
    keep = ~is_unknown & ~is_held_out
    table = tracks[keep].assign(artist=keys[keep], set=UNLABELLED)
    left_out = LeftOut(
        n_kept=len(table),
        held_out=int(is_held_out.sum()),
        n_artists=keys[is_held_out].nunique(),
        unknown=int(is_unknown.sum()),
    )
    return Clips(table, np.full((len(table), dim), np.nan, np.float32)), left_out


def join_clips(first: Clips, second: Clips) -> Clips:
    """The clips of both, those of the first before."""
    return Clips(
        pd.concat([first.tracks, second.tracks], ignore_index=True),
        np.concatenate([first.factors, second.factors]),
    )
