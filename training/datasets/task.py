"""What every labelled data set is to the rest of the program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from models.card import Data
from training.datasets.folds import deal_folds
from training.errors import BadDataset

Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Task:
    """A labelled data set and the one question that is asked of it.

    Parameters
    ----------
    name : of data set and question, `emotify-genre`; results are filed under it
    answers : the question alone, `genre`: what the service calls it
    labels : the classes, or the names of the targets
    tracks : one row a track that is there, with `track_id`, `path`, `artist` (or what else must
        not be on two sides; empty where the set does not say), `label` or one column a target, and
        the set's own split if it has one: `fold` (0, 1, …) or `part` (train, validation, test)
    split : how the tracks are divided, in words, for reports and cards
    data : what a model trained on it has to state
    missing : what the set should hold and this folder does not
    """

    name: str
    answers: str
    kind: Kind
    labels: tuple[str, ...]
    tracks: pd.DataFrame
    split: str
    data: tuple[Data, ...]
    missing: tuple[str, ...] = ()


def keep_present(tracks: pd.DataFrame, name: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows whose file at `path` is there, and the paths of the others.

    Raises
    ------
    BadDataset
        Where no file is there at all.
    """
    there = tracks["path"].map(lambda path: Path(path).is_file()).astype(bool)
    missing = tuple(tracks.loc[~there, "path"])
    if not there.any():
        example = f", {missing[0]} for one" if missing else ""
        raise BadDataset(name, f"none of its {len(tracks)} audio files is there{example}")
    return tracks[there].reset_index(drop=True), missing


def read_table(path: Path, columns: Iterable[str], name: str) -> pd.DataFrame:
    """A CSV file of a data set as text, with at least these columns.

    Raises
    ------
    BadDataset
        Where it cannot be read or lacks one of them.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise BadDataset(name, f"{path} cannot be read ({error})") from error
    absent = [column for column in columns if column not in table]
    if absent:
        raise BadDataset(
            name, f"{path} has no column {', '.join(absent)}, only {', '.join(table.columns)}"
        )
    return table


def audio_by_stem(folder: Path) -> dict[str, Path]:
    """The files of a folder by their name without its ending."""
    return {path.stem: path for path in sorted(folder.glob("*")) if path.is_file()}


def unpacked(folder: Path, places: Iterable[str], inside: str, name: str) -> Path:
    """The first of the places in a folder, `""` for itself, that holds `inside`.

    Raises
    ------
    BadDataset
        Where none does.
    """
    tried = [folder / place for place in places]
    for place in tried:
        if (place / inside).exists():
            return place
    raise BadDataset(name, "there is no " + " and no ".join(str(place / inside) for place in tried))


def as_numbers(tracks: pd.DataFrame, columns: Iterable[str], name: str) -> pd.DataFrame:
    """The tracks with these columns as floats.

    Raises
    ------
    BadDataset
        Where a value is not a finite number.
    """
    columns = list(columns)
    numbers = tracks[columns].apply(pd.to_numeric, errors="coerce").astype(float)
    for column in columns:
        bad = tracks[~np.isfinite(numbers[column])]
        if len(bad):
            first = bad.iloc[0]
            raise BadDataset(
                name,
                f"column {column} holds {first[column]!r} for {first['track_id']}, which is not a "
                f"number ({len(bad)} of {len(tracks)} tracks); correct it or leave the track out",
            )
    return tracks.assign(**{column: numbers[column] for column in columns})


def dealt(tracks: pd.DataFrame, n_folds: int, name: str) -> pd.DataFrame:
    """The tracks with a `fold`, where the number of folds is part of how the set is used.

    Raises
    ------
    BadDataset
        Where a class has fewer tracks than there are folds.
    """
    counts = tracks["label"].value_counts()
    fewest = counts.idxmin()
    if counts[fewest] < n_folds:
        raise BadDataset(
            name,
            f"{counts[fewest]} tracks of the class {fewest!r} are there, and {n_folds} folds need "
            f"{n_folds} or more; complete the folder",
        )
    return tracks.assign(fold=deal_folds(tracks, n_folds))
