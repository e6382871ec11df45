"""DCASE 2016, task 1: where it was recorded; 1,170 segments of 30 s, fifteen acoustic scenes.

Source: Mesaros, Heittola, Virtanen, "TUT database for acoustic scene classification and sound
event detection" (2016). Read from the own layout of TUT Acoustic Scenes 2016, development:
`meta.txt` and `evaluation_setup/fold[1-4]_test.txt` (tab-separated, no header) and `audio/*.wav`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.task import Task, keep_present, unpacked
from training.errors import BadDataset

NAME = "dcase2016"
META = "meta.txt"
N_FOLDS = 4
LICENCE = "free for non-commercial use (its EULA); Mesaros et al. 2016"


def scenes(folder: Path) -> Task:
    """A beach, a bus, an office, … Segments of one recording are never on two sides."""
    root = unpacked(folder, ("", "TUT-acoustic-scenes-2016-development"), META, NAME)
    meta = _read(root / META, 2)
    files = meta[0]
    tracks = pd.DataFrame(
        {
            "track_id": files.map(lambda file: Path(file).stem),
            # `b020_90_120`: the original recording, each of another place, and two times.
            "artist": files.map(lambda file: Path(file).stem.split("_")[0]),
            "label": meta[1],
            "fold": _folds(root, files),
            "path": files.map(lambda file: str(root / file)),
        }
    )
    present, missing = keep_present(tracks, NAME)
    return Task(
        name=NAME,
        answers="scene",
        kind="classification",
        labels=tuple(sorted(present["label"].unique())),
        tracks=present,
        split="the set's own four folds, by place of recording",
        data=(Data(name="TUT Acoustic Scenes 2016", use="audio and labels", licence=LICENCE),),
        missing=missing,
    )


def _folds(root: Path, files: pd.Series[str]) -> list[int]:
    """The fold, from 0, whose test list names each file."""
    tested: dict[str, list[int]] = {file: [] for file in files}
    for fold in range(N_FOLDS):
        path = root / "evaluation_setup" / f"fold{fold + 1}_test.txt"
        for file in _read(path, 1)[0]:
            tested.setdefault(file, []).append(fold)
    for file, folds in tested.items():
        if len(folds) != 1:
            raise BadDataset(
                NAME,
                f"{file} is in {len(folds)} of the {N_FOLDS} lists {root}/evaluation_setup/"
                "fold[1-4]_test.txt, and should be in one; download the meta data again",
            )
    return [tested[file][0] for file in files]


def _read(path: Path, n_columns: int) -> pd.DataFrame:
    """The first columns of a tab-separated list without a header."""
    try:
        return pd.read_csv(
            path,
            sep="\t",
            header=None,
            usecols=list(range(n_columns)),
            dtype=str,
            keep_default_na=False,
        )
    except (OSError, ValueError) as error:
        raise BadDataset(NAME, f"{path} cannot be read ({error})") from error
