"""Reader of GTZAN: excerpts of 30 s, a hundred of each of ten genres.

Source: Tzanetakis, Cook, "Musical genre classification of audio signals" (2002). The set names no
artists, so folds are stratified by genre alone, and an artist can be in train and test both (Sturm
2013). Of the packed tenth, four genres are one artist each: by artist, no fold could be trained on
them.

Read without mirdata, which of the data sets here supports GTZAN alone: the wheel of mirdata 1.0
contains no index, so that it lists no track before it has been online, and it depends on some forty
packages (boto3, google-cloud-storage, numba, …) for what the file names state. A folder downloaded
by mirdata is read all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.tables import (
    add_folds,
    find_by_stem,
    find_root,
    keep_present,
    read_table,
)
from training.datasets.task import Task
from training.errors import BadDataset
from training.tables.folders import list_files

GENRES = (
    "blues",
    "classical",
    "country",
    "disco",
    "hiphop",
    "jazz",
    "metal",
    "pop",
    "reggae",
    "rock",
)
N_EACH = 100
N_FOLDS = 10
# Layouts of the archive, of its copy on Kaggle and of mirdata, or the folder of genres itself.
PLACES = ("genres", "genres_original", "Data/genres_original", "gtzan_genre/genres", "")
PART_LISTS = {
    "train": "train_filtered.txt",
    "validation": "valid_filtered.txt",
    "test": "test_filtered.txt",
}
LICENCE = "no licence stated; research use"


def read(folder: Path) -> Task:
    """The published set: `genres/<genre>/<genre>.000NN.wav` (or `.au`, or `genres_original`).

    One file of the copy on Kaggle, `jazz.00054.wav`, cannot be decoded; `prepare` refuses it.
    """
    name = "gtzan"
    ids = [f"{genre}.{number:05d}" for genre in GENRES for number in range(N_EACH)]
    present, missing = keep_present(_find_tracks(folder, ids, name), name)
    split = f"{N_FOLDS} folds stratified by genre (the set names no artists)"
    return _make_task(name, add_folds(present, N_FOLDS, name), split, "GTZAN", missing)


def read_fault_filtered(folder: Path) -> Task:
    """The published set without its repetitions and distortions, in three parts.

    The parts are three lists of file names, beside the audio or anywhere below the folder.

    Source: Kereliuk, Sturm, Larsen, "Deep learning and music adversaries" (2015).
    """
    name = "gtzan-fault-filtered"
    parts = {
        track: part for part, file in PART_LISTS.items() for track in _read_list(folder, file, name)
    }
    tracks = _find_tracks(folder, parts, name).assign(part=list(parts.values()))
    present, missing = keep_present(tracks, name)
    split = "the fault-filtered parts, which hold artists apart"
    return _make_task(name, present, split, "GTZAN, fault-filtered", missing)


def read_mini(folder: Path) -> Task:
    """A packed tenth of the set: `tracks.csv` (track_id, genre) and `audio/<track_id>.*`."""
    name = "gtzan-mini"
    table = read_table(folder / "tracks.csv", ("track_id", "genre"), name)
    files = find_by_stem(folder / "audio", table["track_id"], name)
    tracks = table.rename(columns={"genre": "label"}).assign(
        artist="",
        path=[str(files.get(track, folder / "audio" / track)) for track in table["track_id"]],
    )
    present, missing = keep_present(tracks, name)
    split = (
        "five folds stratified by genre, which share artists: blues, classical, reggae and rock "
        "are one artist each here"
    )
    return _make_task(name, present, split, "100 recordings of GTZAN", missing)


def _find_tracks(folder: Path, ids: Iterable[str], name: str) -> pd.DataFrame:
    root = find_root(folder, PLACES, GENRES[0], name)
    ids = list(ids)
    files: dict[str, Path] = {}
    for genre in GENRES:
        of_genre = [track for track in ids if track.split(".")[0] == genre]
        files |= find_by_stem(root / genre, of_genre, name)
    rows = []
    for track in ids:
        genre = track.split(".")[0]
        path = files.get(track, root / genre / f"{track}.wav")
        rows.append((track, "", genre, str(path)))
    return pd.DataFrame(rows, columns=["track_id", "artist", "label", "path"])


def _read_list(folder: Path, file: str, name: str) -> list[str]:
    """Track ids of a list whose lines are like `blues/blues.00012.wav`."""
    found = [path for path in list_files(folder) if path.name == file]
    if not found:
        raise BadDataset(
            name, f"{file} was not found below {folder}; put {', '.join(PART_LISTS.values())} there"
        )
    return [Path(line.strip()).stem for line in found[0].read_text().splitlines() if line.strip()]


def _make_task(
    name: str, tracks: pd.DataFrame, split: str, data: str, missing: tuple[str, ...]
) -> Task:
    return Task(
        name=name,
        card_task="genre",
        kind="classification",
        labels=tuple(sorted(tracks["label"].unique())),
        tracks=tracks,
        split=split,
        data=(Data(name=data, use="audio and labels", licence=LICENCE),),
        missing=missing,
    )
