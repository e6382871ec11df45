"""Reader of DCASE 2016, task 1: 1,170 segments of 30 s, fifteen acoustic scenes.

Source: Mesaros, Heittola, Virtanen, "TUT database for acoustic scene classification and sound
event detection" (2016). Read from the layout of TUT Acoustic Scenes 2016, development:
`meta.txt` and `evaluation_setup/fold[1-4]_test.txt` (tab-separated, no header) and `audio/*.wav`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.tables import find_root, keep_present
from training.datasets.task import Task
from training.errors import BadDataset

NAME = "dcase2016"
META = "meta.txt"
N_FOLDS = 4
LICENCE = "free for non-commercial use (its EULA); Mesaros et al. 2016"


def read(folder: Path) -> Task:
    """Classification of the scene: beach, bus, office, …; a recording's segments share a fold."""
    root = find_root(folder, ("", "TUT-acoustic-scenes-2016-development"), META, NAME)
    meta = _read(root / META, 2)
    files = meta[0]
    tracks = pd.DataFrame(
        {
            "track_id": files.map(lambda file: Path(file).stem),
            # `b020_90_120`: recording (one per place), start and end in seconds.
            "artist": files.map(lambda file: Path(file).stem.split("_")[0]),
            "label": meta[1],
            "fold": _folds(root, files),
            "path": files.map(lambda file: str(root / file)),
        }
    )
    present, missing = keep_present(tracks, NAME)
    return Task(
        name=NAME,
        card_task="scene",
        kind="classification",
        labels=tuple(sorted(present["label"].unique())),
        tracks=present,
        split="the set's own four folds, by place of recording",
        data=(Data(name="TUT Acoustic Scenes 2016", use="audio and labels", licence=LICENCE),),
        missing=missing,
    )


def _folds(root: Path, files: pd.Series[str]) -> list[int]:
    """For each file the fold, from 0, whose test list contains it."""
    folds_of: dict[str, list[int]] = {file: [] for file in files}
    for fold in range(N_FOLDS):
        path = root / "evaluation_setup" / f"fold{fold + 1}_test.txt"
        for file in _read(path, 1)[0]:
            folds_of.setdefault(file, []).append(fold)
    for file, folds in folds_of.items():
        if len(folds) != 1:
            raise BadDataset(
                NAME,
                f"{file} is in {len(folds)} of the {N_FOLDS} lists {root}/evaluation_setup/"
                "fold[1-4]_test.txt, and should be in one; download the metadata again",
            )
    return [folds_of[file][0] for file in files]


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
