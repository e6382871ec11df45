"""ESC-10: ten classes of five-second environmental recordings, in five folds of its own.

Source: Piczak, "ESC: dataset for environmental sound classification" (2015). Read here from a
packed form: `clips.csv` (clip_id, fold, label) and `audio/<clip_id>.*`.
"""

from __future__ import annotations

from pathlib import Path

from models.card import Data
from training.datasets.task import Task, audio_by_stem, keep_present, read_table

NAME = "esc10"


def sounds(folder: Path) -> Task:
    """What is heard: a dog, rain, a chainsaw, … Clips of one recording share a fold."""
    table = read_table(folder / "clips.csv", ("clip_id", "fold", "label"), NAME)
    files = audio_by_stem(folder / "audio")
    tracks = table.rename(columns={"clip_id": "track_id"}).assign(
        # `1-100032-A`: fold, source recording, take. Takes of one source stay on one side.
        artist=table["clip_id"].str.split("-").str[1],
        fold=table["fold"].astype(int) - 1,
        path=[str(files.get(clip, folder / "audio" / clip)) for clip in table["clip_id"]],
    )
    present, missing = keep_present(tracks, NAME)
    return Task(
        name=NAME,
        answers="sounds",
        kind="classification",
        labels=tuple(sorted(present["label"].unique())),
        tracks=present,
        split="the set's own five folds",
        data=(Data(name="ESC-10", use="audio and labels", licence="CC BY, Piczak 2015"),),
        missing=missing,
    )
