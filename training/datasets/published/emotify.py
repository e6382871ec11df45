"""Reader of Emotify: excerpts of Magnatune recordings with genre and felt emotions.

Source: Aljanaki, Wiering, Veltkamp, "Studying emotion induced by music through a crowdsourcing
game" (2016). Read here from a packed form: `tracks.csv` (track_id, genre, artist, the nine
emotions of the Geneva Emotional Music Scale as fractions of the raters who felt each) and
`audio/<track_id>.*`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.tables import (
    ARTIST_FOLDS,
    add_artist_folds,
    find_by_stem,
    keep_present,
    read_table,
)
from training.datasets.task import Kind, Task

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


def read_genre(folder: Path) -> Task:
    """Classification into classical, rock, electronic and pop."""
    tracks = _read_tracks(folder, "emotify-genre", ("genre",)).rename(columns={"genre": "label"})
    labels = tuple(sorted(tracks["label"].unique()))
    return _make_task("emotify-genre", "genre", "classification", labels, tracks)


def read_gems(folder: Path) -> Task:
    """Regression of nine GEMS emotions: the fraction of raters who felt each."""
    tracks = _read_tracks(folder, "emotify-gems", GEMS)
    return _make_task("emotify-gems", "emotion", "regression", GEMS, tracks)


def _read_tracks(folder: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    table = read_table(folder / "tracks.csv", ("track_id", "artist", *columns), name)
    files = find_by_stem(folder / "audio", table["track_id"], name)
    paths = [str(files.get(track, folder / "audio" / track)) for track in table["track_id"]]
    return table[["track_id", "artist", *columns]].assign(path=paths)


def _make_task(
    name: str, card_task: str, kind: Kind, labels: tuple[str, ...], tracks: pd.DataFrame
) -> Task:
    present, missing = keep_present(tracks, name)
    if kind == "regression":
        present = present.astype(dict.fromkeys(labels, float))
    data = (Data(name="Emotify", use="audio and labels", licence=LICENCE),)
    tracks = add_artist_folds(present, name)
    return Task(name, card_task, kind, labels, tracks, ARTIST_FOLDS, data, missing)
