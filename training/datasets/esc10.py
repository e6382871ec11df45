"""ESC-10: ten classes of five-second environmental recordings, in five folds of its own.

Source: Piczak, "ESC: dataset for environmental sound classification" (2015). Read from the layout
of ESC-50, which it is a part of (`meta/esc50.csv`, `audio/<filename>`), or from a packed form:
`clips.csv` (clip_id, fold, label) and `audio/<clip_id>.*`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.task import Task, audio_by_stem, keep_present, read_table, unpacked

NAME = "esc10"
META, PACKED = "meta/esc50.csv", "clips.csv"


def sounds(folder: Path) -> Task:
    """What is heard: a dog, rain, a chainsaw, … Clips of one recording share a fold."""
    if (folder / PACKED).exists():
        tracks = _packed(folder)
    else:
        tracks = _published(unpacked(folder, ("", "ESC-50-master"), META, NAME))
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


def _published(root: Path) -> pd.DataFrame:
    columns = ("filename", "fold", "category", "esc10", "src_file")
    table = read_table(root / META, columns, NAME)
    table = table[table["esc10"] == "True"]
    return pd.DataFrame(
        {
            "track_id": table["filename"].map(lambda file: Path(file).stem),
            "artist": table["src_file"],
            "label": table["category"],
            "fold": table["fold"].astype(int) - 1,
            "path": table["filename"].map(lambda file: str(root / "audio" / file)),
        }
    )


def _packed(folder: Path) -> pd.DataFrame:
    table = read_table(folder / PACKED, ("clip_id", "fold", "label"), NAME)
    files = audio_by_stem(folder / "audio")
    return table.rename(columns={"clip_id": "track_id"}).assign(
        # `1-100032-A`: fold, source recording, take. Takes of one source stay on one side.
        artist=table["clip_id"].str.split("-").str[1],
        fold=table["fold"].astype(int) - 1,
        path=[str(files.get(clip, folder / "audio" / clip)) for clip in table["clip_id"]],
    )
