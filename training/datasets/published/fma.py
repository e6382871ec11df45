"""Reader of FMA: clips of 30 s from the Free Music Archive, 8,000 of 8 genres or 25,000 of 16.

Source: Defferrard, Benzi, Vandergheynst, Bresson, "FMA: a dataset for music analysis" (2017).
Read from its own layout, `fma_metadata/tracks.csv` and `fma_small/000/000002.mp3`. Some of its
clips are empty or much shorter than 30 s; `prepare` refuses those that cannot be used.
"""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.tables import find_root, keep_present
from training.datasets.task import Task
from training.errors import BadDataset

LICENCE = "each recording under the Creative Commons licence its artist chose; metadata CC BY 4.0"
# Pairs of the two header rows of tracks.csv; a third row holds `track_id` alone.
COLUMNS = {
    ("set", "split"): "part",
    ("set", "subset"): "subset",
    ("track", "genre_top"): "label",
    ("artist", "id"): "artist",
}
PARTS = {"training": "train", "validation": "validation", "test": "test"}


def read_small(folder: Path) -> Task:
    """Classification into eight genres of a thousand clips each."""
    return _make_task(folder, "fma-small", "fma_small", ("small",))


def read_medium(folder: Path) -> Task:
    """Classification into sixteen unbalanced genres; the set contains the small one."""
    return _make_task(folder, "fma-medium", "fma_medium", ("small", "medium"))


def _make_task(folder: Path, name: str, audio: str, subsets: tuple[str, ...]) -> Task:
    table = _read(find_root(folder, ("fma_metadata", ""), "tracks.csv", name) / "tracks.csv", name)
    table = table[table["subset"].isin(subsets) & (table["label"] != "")]
    ids = table["track_id"].str.zfill(6)
    tracks = table[["artist", "label"]].assign(
        track_id=ids,
        part=table["part"].map(PARTS),
        path=[str(folder / audio / track[:3] / f"{track}.mp3") for track in ids],
    )
    present, missing = keep_present(tracks, name)
    return Task(
        name=name,
        card_task="genre",
        kind="classification",
        labels=tuple(sorted(present["label"].unique())),
        tracks=present,
        split="the set's own training, validation and test parts",
        data=(Data(name=name, use="audio and labels", licence=LICENCE),),
        missing=missing,
    )


def _read(path: Path, name: str) -> pd.DataFrame:
    """The needed columns of tracks.csv as text: all 52 columns take 260 MB."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            pairs = list(zip(*islice(csv.reader(file), 2), strict=True))
        absent = ["/".join(pair) for pair in COLUMNS if pair not in pairs]
        if absent:
            raise BadDataset(
                name, f"{path} has no column {', '.join(absent)} in its first two rows"
            )
        names = {pairs.index(pair): column for pair, column in COLUMNS.items()} | {0: "track_id"}
        table = pd.read_csv(
            path, header=None, skiprows=3, usecols=list(names), dtype=str, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise BadDataset(name, f"{path} cannot be read ({error})") from error
    return table.rename(columns=names)
