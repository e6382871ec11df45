"""How the clips of a run were divided into parts: recorded in the run folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from training.datasets.artist_key import artist_key
from training.objectives.clips import TEST, TRAIN
from training.objectives.run import load_clips

DIVISION = "division.json"


@dataclass(frozen=True)
class Division:
    """By song, within artists, or by artist; and what the split file holds out from training.

    Attributes
    ----------
    split : SHA-256 of the split's tracks and parts; None without a split, or without a record
    n_held_out : test artists of the split
    """

    by_song: bool
    split: str | None = None
    n_held_out: int = 0

    @classmethod
    def of(cls, split: pd.DataFrame | None, *, by_song: bool) -> Division:
        """By a table of `tasteprint-train split`, if there is one."""
        if split is None:
            return cls(by_song)
        rows = split[["track_id", "part"]].sort_values("track_id").to_csv(index=False)
        tested = split.loc[split["part"] == TEST, "artist"].map(artist_key)
        return cls(by_song, hashlib.sha256(rows.encode()).hexdigest(), tested.nunique())

    @classmethod
    def load(cls, run: Path) -> Division:
        """From a run folder; of a run without a record, from whether its parts share artists.

        Raises
        ------
        MissingInput
        """
        path = run / DIVISION
        if path.is_file():
            return cls(**json.loads(path.read_text()))
        clips = load_clips(run)
        is_train = clips["part"] == TRAIN
        heard = clips.loc[is_train, "artist"]
        return cls(bool(clips.loc[~is_train, "artist"].isin(heard).any()))

    @property
    def records(self) -> dict[str, str]:
        """File name → text, for the run folder."""
        return {DIVISION: json.dumps(asdict(self)) + "\n"}

    def __str__(self) -> str:
        how = "by song, within artists" if self.by_song else "by artist"
        if self.split is None:
            return how
        return f"{how}, {self.n_held_out} artists of the split {self.split[:12]} held out"


def find_shared_artist(clips: pd.DataFrame) -> str | None:
    """An artist with clips in several parts."""
    n_parts = clips.groupby("artist")["part"].nunique()
    shared = n_parts.index[n_parts > 1]
    return str(shared[0]) if len(shared) else None
