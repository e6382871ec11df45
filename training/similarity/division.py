"""How the clips of a run were divided into parts: recorded in the run folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from training.objectives.run import load_clips
from training.similarity.clips import TRAIN

DIVISION = "division.json"


@dataclass(frozen=True)
class Division:
    """By song, within artists, or by artist."""

    by_song: bool

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
        return "by song, within artists" if self.by_song else "by artist"


def find_shared_artist(clips: pd.DataFrame) -> str | None:
    """An artist with clips in several parts."""
    n_parts = clips.groupby("artist")["part"].nunique()
    shared = n_parts.index[n_parts > 1]
    return str(shared[0]) if len(shared) else None
