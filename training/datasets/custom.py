"""Reader of custom data: audio with a table of labels or numbers, or one folder per class.

The table is a CSV file with a header:

- `file` or `path`, relative to the folder or absolute, or `track_id`, the file name without its
  extension;
- `label` for classification; without it, every further column is a regression target;
- `artist`, if known, so that no artist is in two parts of a fold;
- `part` (train, validation, test) or `fold` (0, 1, … or 1, 2, …), if the data has a split.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from models.card import NAME, Data
from training.audio.audio_files import Ambiguous, AudioFiles, PathFinder, list_audio
from training.audio.manifest import ID_COLUMNS, WINDOW_COLUMNS
from training.datasets.custom_split import split_tracks
from training.datasets.tables import keep_present, parse_numbers
from training.datasets.task import Task
from training.errors import BadDataset, BadTable
from training.tables.columns import spelled_otherwise
from training.tables.reader import read_text

LABELS = "labels.csv"
FILE_COLUMNS = ("file", "path", "track_id")
OPTIONAL_COLUMNS = ("artist", "fold", "part")
# Columns that `prepare` writes beside the targets.
RESERVED_COLUMNS = {*ID_COLUMNS, *WINDOW_COLUMNS}
NAME_COLUMNS = (*FILE_COLUMNS, "artist", "label")


def read_custom(
    folder: Path,
    labels: Path | None = None,
    *,
    name: str = "custom",
    task: str | None = None,
    licence: str = "not stated",
) -> Task:
    """Read a folder of audio with its labels.

    Parameters
    ----------
    labels : the table; default: `labels.csv` in the folder, or else one folder per class
    name : prefix of the data set's name; results are filed under `custom-mood`
    task : name of the task, `mood`, as in `POST /classify/mood`
    licence : of audio and labels, for the cards of models that are trained on them

    Raises
    ------
    BadDataset
        Naming the file, column, class or value that is wrong, and the remedy.
    """
    default_task, name = name, f"{name}-{task}" if task else name
    if task and not re.fullmatch(NAME, task):
        raise BadDataset(
            default_task,
            f"the task {task!r} is part of a URL; lower-case letters, digits and hyphens only",
        )
    if not folder.is_dir():
        raise BadDataset(name, f"there is no folder {folder}")
    if labels is None and (folder / LABELS).exists():
        labels = folder / LABELS
    tracks = _read_folders(folder, name) if labels is None else _read_labels(folder, labels, name)
    present, missing = keep_present(tracks, name)
    tracks, split = split_tracks(present, name)
    is_classification = "label" in tracks
    targets = _target_columns(tracks)
    return Task(
        name=name,
        card_task=task or default_task,
        kind="classification" if is_classification else "regression",
        labels=tuple(sorted(tracks["label"].unique())) if is_classification else targets,
        tracks=tracks,
        split=split,
        data=(Data(name=name, use="audio and labels", licence=licence),),
        missing=missing,
    )


def _read_folders(folder: Path, name: str) -> pd.DataFrame:
    """One track per file in `<folder>/<class>/`, at any depth."""
    rows = [
        (file.relative_to(folder).as_posix(), str(file), "", file.relative_to(folder).parts[0])
        for file in list_audio(folder)
        if file.parent != folder
    ]
    if not rows:
        raise BadDataset(
            name,
            f"{folder} has neither {LABELS} nor folders with audio in them; give a table of "
            "labels with --labels, or make a folder for each class",
        )
    return pd.DataFrame(rows, columns=["track_id", "path", "artist", "label"])


def _read_labels(folder: Path, labels: Path, name: str) -> pd.DataFrame:
    try:
        table = read_text(labels, any_of=FILE_COLUMNS, names=NAME_COLUMNS)
    except BadTable as error:
        raise BadDataset(name, f"{labels} {error.reason}") from error
    table = table.apply(lambda cells: cells.str.strip())
    found = [column for column in FILE_COLUMNS if column in table]
    _refuse_spelling(table, labels, name)
    _refuse_empty(table, found[0], labels, name)
    paths = _find_paths(folder, table[found[0]], found[0], name)
    tracks = table.assign(
        track_id=table["track_id" if "track_id" in table else found[0]],
        path=paths,
        artist=table.get("artist", ""),
    )
    _refuse_duplicates(tracks, labels, name)
    kept = ["track_id", "path", *(column for column in OPTIONAL_COLUMNS if column in tracks)]
    if "label" in tracks:
        _refuse_empty(tracks, "label", labels, name)
        return tracks[[*kept, "label"]]
    targets = _target_columns(table)
    _refuse_names(targets, labels, name)
    _refuse_row_numbers(table, targets, labels, name)
    return parse_numbers(tracks[[*kept, *targets]], targets, name)


def _target_columns(table: pd.DataFrame) -> tuple[str, ...]:
    return tuple(column for column in table if column not in (*FILE_COLUMNS, *OPTIONAL_COLUMNS))


def _find_paths(folder: Path, files: pd.Series[str], column: str, name: str) -> list[str]:
    """The path of each row's file, whether the file exists or not."""
    if column != "track_id":
        finder = PathFinder(folder)
        return [os.path.normpath(finder.find(file)) for file in files]
    found = AudioFiles.scan(folder)
    try:
        return [str(found.find(track) or folder / track) for track in files]
    except Ambiguous as error:
        raise BadDataset(
            name, f"two audio files have one name: {error}; name files in a column `file`"
        ) from error


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


def _refuse_duplicates(tracks: pd.DataFrame, labels: Path, name: str) -> None:
    for column in ("path", "track_id"):
        repeated = tracks[column][tracks[column].duplicated()]
        if len(repeated):
            raise BadDataset(
                name,
                f"{labels} names {repeated.iloc[0]} more than once ({len(repeated)} rows too "
                "many); keep one row per file",
            )


def _refuse_spelling(table: pd.DataFrame, labels: Path, name: str) -> None:
    """Refuse `Artist` for `artist`: it would be a target, or be left out in silence."""
    absent = [column for column in (*OPTIONAL_COLUMNS, "label") if column not in table]
    for column, spelled in spelled_otherwise(absent, list(table.columns)).items():
        raise BadDataset(name, f"{labels} has a column {spelled!r}; name it {column}")


def _refuse_names(targets: tuple[str, ...], labels: Path, name: str) -> None:
    if not targets:
        raise BadDataset(
            name, f"{labels} has neither a column label nor a column of numbers to predict"
        )
    reserved = sorted(RESERVED_COLUMNS.intersection(targets))
    if reserved:
        raise BadDataset(
            name,
            f"{labels} has a column {reserved[0]}, a reserved name; remove the column, or rename "
            "it if it is a target",
        )


def _refuse_row_numbers(
    table: pd.DataFrame, targets: tuple[str, ...], labels: Path, name: str
) -> None:
    """Refuse a column that counts the rows, as `to_csv` of pandas writes one without a name."""
    for column in targets:
        unnamed = not column.strip() or re.fullmatch(r"Unnamed: \d+|__index_level_\d+__", column)
        counted = any(
            table[column].tolist() == [str(row) for row in range(start, start + len(table))]
            for start in (0, 1)
        )
        if unnamed or (counted and len(table) > 2):
            what = f"column {column}" if column.strip() else "column without a name"
            raise BadDataset(
                name,
                f"{labels} has a {what}, which is no target but the number of the row; remove it: "
                "to_csv(…, index=False)",
            )
