"""Reader of GTZAN's identities and of published MusiCNN taggrams of its fault-filtered split.

Artists and titles: B. L. Sturm (2012), S. Doh (2023), joined to the listening logs by name.
Taggrams, the probabilities of 50 tags for each patch of a recording: J. Pons, X. Serra (2019), of
443 recordings for training and 290 for testing. There is no audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.datasets.artist_key import artist_key
from training.errors import BadDataset

NAME = "gtzan-identities"
IDENTITIES = "gtzan_artist_title.csv"
TAGGRAMS = {
    "train": "musicnn_taggram_training.npz",
    "test": "musicnn_taggram_evaluation.npz",
}
COLUMNS = ("track_id", "genre", "artist", "artist_id", "listeners")


@dataclass(frozen=True)
class Taggrams:
    """Patches of recordings, and whom the recordings are by.

    Attributes
    ----------
    tracks : one row per recording: `track_id`, `genre`, `part` (train or test), `artist` (its key;
        empty where unknown), `artist_id` of the logs (empty where it is not in them), `listeners`
    patches : float32, shape (n_patches, 50), probabilities
    owners : position in `tracks` of each patch's recording, shape (n_patches,)
    """

    tracks: pd.DataFrame
    patches: NDArray[np.float32]
    owners: NDArray[np.int64]


def read_taggrams(folder: Path) -> Taggrams:
    """Read the taggrams of both parts, and join the identities of their recordings.

    Raises
    ------
    BadDataset
        Where a file is missing or damaged, a recording is in both parts, or has no identity.
    """
    identities = _read_identities(folder)
    patches: list[NDArray[np.float32]] = []
    tables: list[pd.DataFrame] = []
    owners: list[NDArray[np.int64]] = []
    for part, file in TAGGRAMS.items():
        values, tracks = _read_part(folder / file)
        codes, names = pd.factorize(pd.Series(tracks))
        owners.append(np.asarray(codes + sum(len(table) for table in tables), np.int64))
        tables.append(pd.DataFrame({"track_id": names, "part": part}))
        patches.append(values)
    table = pd.concat(tables, ignore_index=True)
    if table["track_id"].duplicated().any():
        track = table.loc[table["track_id"].duplicated(), "track_id"].iloc[0]
        raise BadDataset(NAME, f"{track} is in both parts; fetch the files again")
    absent = set(table["track_id"]) - set(identities["track_id"])
    if absent:
        raise BadDataset(NAME, f"{IDENTITIES} has no row of {min(absent)}; fetch it again")
    joined = table.merge(identities, on="track_id", how="left", validate="one_to_one")
    return Taggrams(joined, np.concatenate(patches), np.concatenate(owners))


def _read_identities(folder: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(folder / IDENTITIES, dtype=str, keep_default_na=False)
        table = table[list(COLUMNS)]
    except (OSError, ValueError, KeyError) as error:
        raise BadDataset(NAME, f"{folder / IDENTITIES} cannot be read ({error})") from error
    return table.assign(
        artist=table["artist"].map(artist_key),
        listeners=pd.to_numeric(table["listeners"], errors="coerce").fillna(0).astype(int),
    )


def _read_part(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Patches, shape (n, 50), and the track id of each."""
    try:
        stored = np.load(path)
        values, names = np.asarray(stored["X"], np.float32), stored["IDS"].astype(str)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise BadDataset(NAME, f"{path} cannot be read ({error})") from error
    if values.ndim != 2 or len(values) != len(names):
        raise BadDataset(NAME, f"{path} holds {values.shape} values of {len(names)} patches")
    # `blues/blues.00029.au`
    return values, [Path(name).stem for name in names]
