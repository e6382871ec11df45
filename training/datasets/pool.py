"""Pool of unlabelled recordings: prepared windows that a training run may hear for a held-out fold.

A pool holds out what its task holds out: the artists of the test and validation part, by their
keys, and the artists that the deal of all artists puts into the held-out fold, whichever set they
are from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.card import Data
from training.audio.windows import Prepared
from training.datasets.accounts import Account, count_join
from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.datasets.prepared import TASK, TaskData
from training.errors import BadPool, MissingInput, OtherTracks


@dataclass(frozen=True)
class Pool:
    """Prepared windows whose labels, if there are any, are not read.

    Attributes
    ----------
    data : of the data set and its licence; empty for a folder of `prepare`, which states none
    """

    folder: Path
    prepared: Prepared
    data: tuple[Data, ...]

    @classmethod
    def load(cls, folder: Path) -> Pool:
        """Load a folder of `dataset` or `prepare`.

        Raises
        ------
        MissingInput
        BadPool
            If the tracks have no column `artist`, by which they would be held out.
        """
        prepared = Prepared.load(folder)
        if "artist" not in prepared.tracks:
            raise BadPool(folder, "has no column `artist`; prepare it with --artist-column")
        return cls(folder, prepared, _read_data(folder))

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row of each track's window in `prepared.windows`, shape (n_tracks,)."""
        return np.asarray(self.prepared.tracks["row"], np.int64)

    @property
    def track_ids(self) -> list[str]:
        return list(self.prepared.tracks["track_id"])


def _read_data(folder: Path) -> tuple[Data, ...]:
    if not (folder / TASK).exists():
        return ()
    try:
        stated = json.loads((folder / TASK).read_bytes())["data"]
        return tuple(Data.model_validate(data) for data in stated)
    except (ValueError, KeyError, TypeError) as error:
        raise MissingInput(folder, "tasteprint-train dataset") from error


def select_tracks(
    pools: Sequence[Pool], task: TaskData, fold: int | None
) -> list[NDArray[np.bool_]]:
    """Mask of the tracks of each pool that may be heard in training with a fold held out.

    Left out are the task's own tracks, which training hears or holds out anyway; the artists of its
    test and validation part; the artists of the held-out fold in the deal of all artists; and
    tracks of an earlier pool. A track of an unknown artist is known by its id alone.

    Parameters
    ----------
    fold : None holds out the validation part alone, as a final fit does

    Raises
    ------
    BadPool
        If a pool is left without tracks, or its windows are not like the task's.
    """
    tracks = task.prepared.tracks
    is_held_out = task.parts(fold) != "train"
    held_out = set(map(artist_key, tracks["artist"][is_held_out])) - {""}
    heard, masks = set(tracks["track_id"]), []
    for pool in pools:
        _check_audio(pool, task)
        keys = [artist_key(artist) for artist in pool.prepared.tracks["artist"]]
        mask = np.array(
            [
                track not in heard and key not in held_out and not (key and deal_fold(key) == fold)
                for track, key in zip(pool.track_ids, keys, strict=True)
            ]
        )
        if not mask.any():
            raise BadPool(
                pool.folder,
                f"has no track that {task.facts.name} may hear with fold {fold} held out; leave it "
                "out",
            )
        heard.update(pool.track_ids)
        masks.append(mask)
    return masks


def account_pools(
    pools: Sequence[Pool], masks: Sequence[NDArray[np.bool_]], fold: int | None
) -> list[Account]:
    """Accounts of the tracks of each pool that may be heard with a fold held out."""
    return [
        count_join(
            pool.prepared.tracks[["track_id", "artist"]],
            f"the pool {pool.folder.name}",
            np.array(pool.track_ids)[mask],
            f"what may be heard with fold {fold} held out",
            key="track_id",
        )
        for pool, mask in zip(pools, masks, strict=True)
    ]


def _check_audio(pool: Pool, task: TaskData) -> None:
    audio, expected = pool.prepared.audio, task.prepared.audio
    if audio != expected:
        raise BadPool(
            pool.folder,
            f"has windows of {audio}, and those of the task are {expected}; decode both alike",
        )


def check_same_pool(pool: Pool, other: Pool) -> None:
    """Refuse a pool that is decoded for another encoder from other tracks.

    Raises
    ------
    OtherTracks
    """
    if pool.track_ids != other.track_ids:
        n_other = len(set(pool.track_ids) ^ set(other.track_ids))
        reason = f"{n_other} tracks are in one alone" if n_other else "the order differs"
        raise OtherTracks(pool.folder, other.folder, reason)


def digest_of_tracks(pools: Sequence[Pool], masks: Sequence[NDArray[np.bool_]]) -> str:
    """SHA-256 of the ids of the chosen tracks, by which a run knows its pool again."""
    ids = [
        track
        for pool, mask in zip(pools, masks, strict=True)
        for track in np.array(pool.track_ids)[mask]
    ]
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()
