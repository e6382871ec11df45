"""Reader of ESC-10: ten classes of five-second environmental sounds, in five published folds.

Source: Piczak, "ESC: dataset for environmental sound classification" (2015). Read from the layout
of ESC-50, of which ESC-10 is a part (`meta/esc50.csv`, `audio/<filename>`), or from a packed form:
`clips.csv` (clip_id, fold, label) and `audio/<clip_id>.*`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.tables import find_by_stem, find_root, keep_present, parse_folds, read_table
from training.datasets.task import Task

NAME = "esc10"
META, PACKED = "meta/esc50.csv", "clips.csv"


def read(folder: Path) -> Task:
    """Classification of the sound: dog, rain, chainsaw, …; clips of one recording share a fold."""
    if (folder / PACKED).exists():
        tracks = _read_packed(folder)
    else:
        tracks = _read_published(find_root(folder, ("", "ESC-50-master"), META, NAME))
    present, missing = keep_present(tracks, NAME)
    return Task(
        name=NAME,
        card_task="sounds",
        kind="classification",
        labels=tuple(sorted(present["label"].unique())),
        tracks=present,
        split="the set's own five folds",
        data=(Data(name="ESC-10", use="audio and labels", licence="CC BY, Piczak 2015"),),
        missing=missing,
    )


def _read_published(root: Path) -> pd.DataFrame:
    columns = ("filename", "fold", "category", "esc10", "src_file")
    table = read_table(root / META, columns, NAME)
    table = table[table["esc10"] == "True"]
    return pd.DataFrame(
        {
            "track_id": table["filename"].map(lambda file: Path(file).stem),
            "artist": table["src_file"],
            "label": table["category"],
            "fold": parse_folds(table["fold"], table["filename"], NAME) - 1,
            "path": table["filename"].map(lambda file: str(root / "audio" / file)),
        }
    )


def _read_packed(folder: Path) -> pd.DataFrame:
    table = read_table(folder / PACKED, ("clip_id", "fold", "label"), NAME)
    files = find_by_stem(folder / "audio", table["clip_id"], NAME)
    return table.rename(columns={"clip_id": "track_id"}).assign(
        # `1-100032-A`: fold, source recording, take. Takes of one source stay in one part.
        artist=table["clip_id"].str.split("-").str[1],
        fold=parse_folds(table["fold"], table["clip_id"], NAME) - 1,
        path=[str(files.get(clip, folder / "audio" / clip)) for clip in table["clip_id"]],
    )
