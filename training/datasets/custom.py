"""Songs of one's own: a table of labels or numbers beside a folder of audio, or a folder a class.

The table is a CSV file with a header:

- `file` or `path`, below the folder or absolute, or `track_id`, the file's name without its ending;
- `label` for classes; without it, every further column is a number to predict;
- `artist`, if known, so that no artist is on two sides;
- `part` (train, validation, test) or `fold` (0, 1, … or 1, 2, …), if you have a split.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from models.card import NAME, Data
from training.audio.manifest import ID_COLUMNS, NOT_AUDIO
from training.datasets.custom_split import divide
from training.datasets.task import Task, as_numbers, keep_present, read_table
from training.errors import BadDataset

LABELS = "labels.csv"
FILE_COLUMNS = ("file", "path", "track_id")
FACTS = ("artist", "fold", "part")
# What `prepare` writes beside the targets.
TAKEN = {*ID_COLUMNS, "row", "duration_s", "codec", "cut", "padded"}


def own(
    folder: Path,
    labels: Path | None = None,
    *,
    task: str | None = None,
    licence: str = "not stated",
) -> Task:
    """Read a folder of audio with its labels.

    Parameters
    ----------
    labels : the table; without it `labels.csv` in the folder, or else a folder a class
    task : what is asked, `mood`, as in `POST /classify/mood`; results are filed under `own-mood`
    licence : of audio and labels, for the cards of models that are trained on them

    Raises
    ------
    BadDataset
        Naming the file, column, class or value that is wrong, and what to do.
    """
    name = f"own-{task}" if task else "own"
    if task and not re.fullmatch(NAME, task):
        raise BadDataset(
            "own",
            f"the task {task!r} is part of an address; lower-case letters, digits and hyphens only",
        )
    if not folder.is_dir():
        raise BadDataset(name, f"there is no folder {folder}")
    if labels is None and (folder / LABELS).exists():
        labels = folder / LABELS
    tracks = _from_folders(folder, name) if labels is None else _from_table(folder, labels, name)
    present, missing = keep_present(tracks, name)
    divided, split = divide(present, name)
    classes = "label" in divided
    targets = tuple(column for column in divided if column not in (*FILE_COLUMNS, *FACTS))
    return Task(
        name=name,
        answers=task or "own",
        kind="classification" if classes else "regression",
        labels=tuple(sorted(divided["label"].unique())) if classes else targets,
        tracks=divided,
        split=split,
        data=(Data(name=name, use="audio and labels", licence=licence),),
        missing=missing,
    )


def _from_folders(folder: Path, name: str) -> pd.DataFrame:
    """One track a file in `<folder>/<class>/`, at any depth."""
    rows = [
        (file.relative_to(folder).as_posix(), str(file), "", file.relative_to(folder).parts[0])
        for file in _audio_below(folder)
        if file.parent != folder
    ]
    if not rows:
        raise BadDataset(
            name,
            f"{folder} has neither {LABELS} nor folders with audio in them; name a table of "
            "labels, or make a folder for each class",
        )
    return pd.DataFrame(rows, columns=["track_id", "path", "artist", "label"])


def _from_table(folder: Path, labels: Path, name: str) -> pd.DataFrame:
    table = read_table(labels, (), name).apply(lambda cells: cells.str.strip())
    found = [column for column in FILE_COLUMNS if column in table]
    if not found:
        raise BadDataset(
            name, f"{labels} has no column file, path or track_id, only {', '.join(table.columns)}"
        )
    _refuse_empty(table, found[0], labels, name)
    paths = _paths(folder, table[found[0]], found[0], name)
    tracks = table.assign(
        track_id=table["track_id" if "track_id" in table else found[0]],
        path=paths,
        artist=table.get("artist", ""),
    )
    _refuse_twice(tracks, labels, name)
    kept = ["track_id", "path", *(column for column in FACTS if column in tracks)]
    if "label" in tracks:
        _refuse_empty(tracks, "label", labels, name)
        return tracks[[*kept, "label"]]
    targets = [column for column in table if column not in (*FILE_COLUMNS, *FACTS)]
    _refuse_names(targets, labels, name)
    return as_numbers(tracks[[*kept, *targets]], targets, name)


def _paths(folder: Path, files: pd.Series[str], column: str, name: str) -> list[str]:
    """The path of each row's file, whether it is there or not."""
    if column != "track_id":
        return [os.path.normpath(folder / file) for file in files]
    by_stem: dict[str, list[Path]] = {}
    for file in _audio_below(folder):
        by_stem.setdefault(file.stem, []).append(file)
    for track in files:
        if len(by_stem.get(track, ())) > 1:
            names = " and ".join(str(file.relative_to(folder)) for file in by_stem[track])
            raise BadDataset(name, f"track_id {track!r} is {names}; name files in a column `file`")
    return [str(by_stem.get(track, [folder / track])[0]) for track in files]


def _audio_below(folder: Path) -> list[Path]:
    """Files at any depth that may be audio, in order; `.DS_Store` and its like are not."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and file.suffix.lower() not in NOT_AUDIO
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _refuse_empty(table: pd.DataFrame, column: str, labels: Path, name: str) -> None:
    if table.empty:
        raise BadDataset(name, f"{labels} has a header and no rows")
    empty = table.index[table[column] == ""]
    if len(empty):
        line = int(empty[0]) + 2  # rows count from 0, and the header is line 1
        raise BadDataset(
            name,
            f"{labels} has no {column} in row {line} ({len(empty)} of {len(table)} rows); fill it, "
            "or leave the row out",
        )


def _refuse_twice(tracks: pd.DataFrame, labels: Path, name: str) -> None:
    for column in ("path", "track_id"):
        twice = tracks[column][tracks[column].duplicated()]
        if len(twice):
            raise BadDataset(
                name,
                f"{labels} names {twice.iloc[0]} more than once ({len(twice)} rows too many); "
                "keep one row a file",
            )


def _refuse_names(targets: list[str], labels: Path, name: str) -> None:
    if not targets:
        raise BadDataset(
            name, f"{labels} has neither a column label nor a column of numbers to predict"
        )
    taken = sorted(TAKEN.intersection(targets))
    if taken:
        raise BadDataset(
            name,
            f"{labels} has a column {taken[0]}, a name that is taken; leave it out, or rename it "
            "if it is to be predicted",
        )
