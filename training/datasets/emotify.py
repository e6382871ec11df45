"""Emotify: excerpts of Magnatune recordings, their genre and the emotions that listeners felt.

Source: Aljanaki, Wiering, Veltkamp, "Studying emotion induced by music through a crowdsourcing
game" (2016). Read here from a packed form: `tracks.csv` (track_id, genre, artist, the nine
emotions of the Geneva Emotional Music Scale as fractions of the raters who felt each) and
`audio/<track_id>.*`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.task import Kind, Task, audio_by_stem, keep_present, read_table

GEMS = (
    "amazement",
    "solemnity",
    "tenderness",
    "nostalgia",
    "calmness",
    "power",
    "joyful_activation",
    "tension",
    "sadness",
)
LICENCE = "recordings from Magnatune, CC BY-NC-SA; cite Aljanaki et al. 2016"
SPLIT = "five folds by artist, none on two sides"


def genre(folder: Path) -> Task:
    """Classical, rock, electronic or pop."""
    tracks = _tracks(folder, "emotify-genre", ("genre",)).rename(columns={"genre": "label"})
    labels = tuple(sorted(tracks["label"].unique()))
    return _task("emotify-genre", "genre", "classification", labels, tracks)


def gems(folder: Path) -> Task:
    """The fraction of raters who felt each of the nine GEMS emotions: not valence and arousal."""
    tracks = _tracks(folder, "emotify-gems", GEMS)
    return _task("emotify-gems", "emotion", "regression", GEMS, tracks)


def _tracks(folder: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    table = read_table(folder / "tracks.csv", ("track_id", "artist", *columns), name)
    files = audio_by_stem(folder / "audio")
    paths = [str(files.get(track, folder / "audio" / track)) for track in table["track_id"]]
    return table[["track_id", "artist", *columns]].assign(path=paths)


def _task(
    name: str, answers: str, kind: Kind, labels: tuple[str, ...], tracks: pd.DataFrame
) -> Task:
    present, missing = keep_present(tracks, name)
    if kind == "regression":
        present = present.astype(dict.fromkeys(labels, float))
    data = (Data(name="Emotify", use="audio and labels", licence=LICENCE),)
    return Task(name, answers, kind, labels, present, SPLIT, data, missing)
