"""Reading of tables and audio folders, shared by the readers of data sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.audio.audio_files import Ambiguous, AudioFiles
from training.datasets.artist_key import artist_key
from training.datasets.folds import N_FOLDS, assign_folds, deal_fold
from training.errors import BadDataset

ARTIST_FOLDS = "five folds by artist, the same for an artist in every set dealt so"


def keep_present(tracks: pd.DataFrame, name: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows whose audio file at `path` exists, and the missing paths.

    Raises
    ------
    BadDataset
        Where no file exists at all.
    """
    present = tracks["path"].map(lambda path: Path(path).is_file()).astype(bool)
    missing = tuple(tracks.loc[~present, "path"])
    if not present.any():
        example = f", for example {missing[0]}" if missing else ""
        raise BadDataset(name, f"none of the {len(tracks)} audio files exists{example}")
    return tracks[present].reset_index(drop=True), missing


def read_table(path: Path, columns: Iterable[str], name: str) -> pd.DataFrame:
    """A CSV file of a data set as text; it has at least these columns.

    Raises
    ------
    BadDataset
        Where the file cannot be read or lacks one of the columns.
    """
    try:
        # Not the first column as an index, where rows end in a separator.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except (OSError, ValueError) as error:
        raise BadDataset(name, f"{path} cannot be read ({error})") from error
    absent = [column for column in columns if column not in table]
    if absent:
        raise BadDataset(
            name, f"{path} has no column {', '.join(absent)}, only {', '.join(table.columns)}"
        )
    return table


def find_by_stem(folder: Path, ids: Iterable[str], name: str) -> dict[str, Path]:
    """Track id → path, of the ids that have an audio file of their name in a folder.

    Raises
    ------
    BadDataset
        Where two audio files have one name.
    """
    if not folder.is_dir():
        return {}
    files = AudioFiles.scan(folder, below=False)
    try:
        found = {track: files.find(track) for track in ids}
    except Ambiguous as error:
        raise BadDataset(
            name, f"two audio files in {folder} have one name: {error}; keep one of them"
        ) from error
    return {track: path for track, path in found.items() if path}


def find_root(folder: Path, places: Iterable[str], inside: str, name: str) -> Path:
    """The first of several places below a folder that holds `inside`; `""` is the folder itself.

    Raises
    ------
    BadDataset
        Where none of the places does.
    """
    tried = [folder / place for place in places]
    for place in tried:
        if (place / inside).exists():
            return place
    raise BadDataset(name, "there is no " + " and no ".join(str(place / inside) for place in tried))


def parse_folds(values: pd.Series, ids: pd.Series, name: str) -> NDArray[np.int64]:
    """Folds as whole numbers, also where a program has written them as 1.0.

    Parameters
    ----------
    values, ids : the folds as text, and whose they are

    Raises
    ------
    BadDataset
    """
    invalid = ~values.str.fullmatch(r"\d{1,4}(\.0*)?")
    if invalid.any():
        first = int(invalid.to_numpy().argmax())
        raise BadDataset(
            name,
            f"{ids.iloc[first]} has the fold {values.iloc[first]!r}; it must be a number, 0, 1, 2, "
            f"… ({int(invalid.sum())} of {len(values)} tracks)",
        )
    return np.array([int(value.partition(".")[0]) for value in values], np.int64)


def parse_numbers(tracks: pd.DataFrame, columns: Iterable[str], name: str) -> pd.DataFrame:
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


def add_folds(tracks: pd.DataFrame, n_folds: int, name: str) -> pd.DataFrame:
    """The tracks with a column `fold`, for sets that are always used with this number of folds.

    Raises
    ------
    BadDataset
        Where a class has fewer tracks than there are folds.
    """
    counts = tracks["label"].value_counts()
    rarest = counts.idxmin()
    if counts[rarest] < n_folds:
        raise BadDataset(
            name,
            f"the class {rarest!r} has {counts[rarest]} tracks with an audio file, and {n_folds} "
            f"folds need {n_folds} or more; complete the folder",
        )
    return tracks.assign(fold=assign_folds(tracks, n_folds))


def add_artist_folds(tracks: pd.DataFrame, name: str) -> pd.DataFrame:
    """The tracks with the key of their `artist`, and `fold`, by the deal of all artists.

    A track of an unknown artist is dealt by its id.

    Raises
    ------
    BadDataset
        Where a fold is left without tracks.
    """
    artists = tracks["artist"].map(artist_key)
    folds = artists.where(artists != "", "track " + tracks["track_id"]).map(deal_fold)
    empty = [str(fold) for fold in range(N_FOLDS) if not (folds == fold).any()]
    if empty:
        raise BadDataset(
            name,
            f"no artist of the {len(tracks)} tracks with an audio file is dealt to the fold "
            f"{', '.join(empty)} of {N_FOLDS}; complete the folder",
        )
    return tracks.assign(artist=artists, fold=folds)
