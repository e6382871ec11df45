"""Several prepared sets as one: the rows of their windows one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.card import AudioInput
from training.audio.patch_cutting import cut_patches
from training.audio.shards import JoinedWindows
from training.audio.windows import Prepared
from training.errors import OtherSets

SET = "set"


@dataclass(frozen=True)
class ClipFolder:
    """Prepared windows and the folder that holds them; rows are those of `prepared.tracks`."""

    folder: Path
    prepared: Prepared

    def cut(self, audio: AudioInput) -> ClipFolder:
        """The folder as an encoder of that input hears it, see `cut_patches`."""
        return replace(self, prepared=cut_patches(self.prepared, audio))

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row of each track's window in `prepared.windows`, shape (n_tracks,)."""
        return np.asarray(self.prepared.tracks["row"], np.int64)


def load_sets(folders: Sequence[Path]) -> Prepared:
    """The prepared folders as one set, whose tracks name their folder in the column `set`.

    Raises
    ------
    MissingInput
    OtherSets
        Where two folders have other audio inputs, or share a track id or a name.
    """
    sets = [Prepared.load(folder) for folder in folders]
    names = [folder.name for folder in folders]
    for folder, prepared in zip(folders, sets, strict=True):
        if prepared.audio != sets[0].audio:
            raise OtherSets(folders[0], folder, f"windows of {sets[0].audio} and {prepared.audio}")
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise OtherSets(folders[0], folders[-1], f"two folders of the name {repeated!r}")
    windows = JoinedWindows([prepared.windows for prepared in sets])
    tables = [
        prepared.tracks.assign(row=prepared.tracks["row"] + start, set=name)
        for prepared, start, name in zip(sets, windows.starts, names, strict=False)
    ]
    tracks = pd.concat(tables, ignore_index=True)
    shared = tracks["track_id"][tracks["track_id"].duplicated()]
    if len(shared):
        raise OtherSets(folders[0], folders[-1], f"the track id {shared.iloc[0]!r} twice")
    return Prepared(windows, tracks, sets[0].audio)
