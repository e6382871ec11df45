"""GTZAN: thirty-second excerpts, ten genres of a hundred.

Source: Tzanetakis, Cook, "Musical genre classification of audio signals" (2002). It names no
artists, so folds are stratified by genre alone, and one artist can be on two sides (Sturm 2013).
"""

from __future__ import annotations

from pathlib import Path

from models.card import Data
from training.datasets.task import Task, audio_by_stem, keep_present, read_table

LICENCE = "no licence stated; research use"


def mini(folder: Path) -> Task:
    """A packed tenth of the set: `tracks.csv` (track_id, genre) and `audio/<track_id>.*`."""
    name = "gtzan-mini"
    table = read_table(folder / "tracks.csv", ("track_id", "genre"), name)
    files = audio_by_stem(folder / "audio")
    tracks = table.rename(columns={"genre": "label"}).assign(
        artist="",
        path=[str(files.get(track, folder / "audio" / track)) for track in table["track_id"]],
    )
    present, missing = keep_present(tracks, name)
    return Task(
        name=name,
        answers="genre",
        kind="classification",
        labels=tuple(sorted(present["label"].unique())),
        tracks=present,
        split="five folds stratified by genre (the set names no artists)",
        data=(Data(name="100 recordings of GTZAN", use="audio and labels", licence=LICENCE),),
        missing=missing,
    )
