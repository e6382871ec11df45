"""Clips that a linear CF estimator is fitted on: encoder outputs, targets, artists and sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.audio.prepared_sets import SET
from training.cf.als import Factorization
from training.errors import NothingToTrain
from training.estimator.artist_split import group_by_artist
from training.estimator.clips import join_targets


@dataclass(frozen=True)
class LabelledClips:
    """Clips with a target.

    Attributes
    ----------
    inputs : outputs of the encoder, concatenated, shape (n, n_in)
    targets : item factors of unit length, shape (n, dim)
    tracks : their rows of the manifest, with `track_id`, `item_id`, `set` and the artist's key
        `artist`
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    tracks: pd.DataFrame

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> LabelledClips:
        return LabelledClips(self.inputs[chosen], self.targets[chosen], self.tracks[chosen])

    @property
    def set_names(self) -> list[str]:
        """Names of the sets, in the order of the prepared folders."""
        return list(dict.fromkeys(self.tracks[SET]))

    def of_set(self, name: str) -> LabelledClips:
        return self[self.tracks[SET].to_numpy() == name]

    @property
    def weights(self) -> NDArray[np.float64]:
        """1 / sqrt(number of the artist's clips in the set), shape (n,).

        An artist of four clips counts as much as two of one: more clips tell more of an artist, but
        not that much more, as they share one target.
        """
        counts = self.tracks.groupby([SET, "artist"])["track_id"].transform("size")
        return np.asarray(1 / np.sqrt(counts.to_numpy(np.float64)))


def label_clips(
    tracks: pd.DataFrame,
    outputs: NDArray[np.float32],
    factors: Factorization,
    split: pd.DataFrame | None,
) -> LabelledClips:
    """The clips whose item has a factor, without those of the split's test artists.

    Parameters
    ----------
    tracks : of all prepared sets
    outputs : of the encoder, one row per track
    split : None holds nothing out

    Raises
    ------
    NothingToTrain
    """
    tracks = tracks.assign(row=np.arange(len(tracks)), artist=group_by_artist(tracks))
    if split is not None:
        fitting = split.loc[split["part"] != "test", "track_id"]
        tracks = tracks[tracks["track_id"].isin(fitting)]
    rows, targets = join_targets(tracks, factors, "unit")
    if not len(rows):
        raise NothingToTrain("train", len(tracks))
    known = tracks.set_index("row").loc[rows].reset_index(drop=True)
    return LabelledClips(outputs[rows], targets, known)


def concatenate(
    outputs: Sequence[Mapping[str, NDArray[np.float32]]], sources: Sequence[str]
) -> NDArray[np.float32]:
    """Outputs of several folders below each other, the sources beside each other."""
    return np.concatenate(
        [np.concatenate([found[name] for name in sources], axis=1) for found in outputs]
    )
