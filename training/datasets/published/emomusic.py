"""Reader of EmoMusic: 744 clips of 45 s with genre, arousal and valence.

Source: Soleymani, Caro, Schmidt, Sha, Yang, "1000 songs for emotional analysis of music" (2013).
Read from its own layout, `annotations/songs_info.csv`, `annotations/static_annotations.csv` (both
can also be in the folder itself, as the archive unpacks them) and `clips_45seconds/<song_id>.mp3`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.accounts import count_join
from training.datasets.tables import (
    find_by_stem,
    find_root,
    keep_present,
    parse_numbers,
    read_table,
)
from training.datasets.task import Kind, Task
from training.errors import BadDataset

INFO, RATINGS, CLIPS = "songs_info.csv", "static_annotations.csv", "clips_45seconds"
SET = "Mediaeval 2013 set"
PARTS = {"development": "train", "evaluation": "test"}
SPLIT = "the set's own development and evaluation songs; the validation part shares no artist"
LICENCE = "recordings from the Free Music Archive, Creative Commons; cite Soleymani et al. 2013"


def read_genre(folder: Path) -> Task:
    """Classification into eight genres, as the Free Music Archive states them."""
    name = "emomusic-genre"
    tracks = _read_songs(folder, name).rename(columns={"Genre": "label"})
    return _make_task(
        name, "genre", "classification", tuple(sorted(tracks["label"].unique())), tracks
    )


def read_valence(folder: Path) -> Task:
    """Regression of valence: mean over raters, from 1 to 9."""
    return _read_rating(folder, "valence")


def read_arousal(folder: Path) -> Task:
    """Regression of arousal: mean over raters, from 1 to 9."""
    return _read_rating(folder, "arousal")


def _read_rating(folder: Path, emotion: str) -> Task:
    name, column = f"emomusic-{emotion}", f"mean_{emotion}"
    ratings = _read(folder, RATINGS, ("song_id", column), name)
    ratings = ratings[["song_id", column]].rename(columns={"song_id": "track_id", column: emotion})
    songs = _read_songs(folder, name)
    rated = count_join(songs, "songs", ratings["track_id"], "the ratings", key="track_id")
    tracks = parse_numbers(songs.merge(ratings, on="track_id"), (emotion,), name)
    task = _make_task(name, emotion, "regression", (emotion,), tracks)
    return replace(task, accounts=(rated,))


def _read_songs(folder: Path, name: str) -> pd.DataFrame:
    info = _read(folder, INFO, ("song_id", "Artist", "Genre", SET), name)
    strange = sorted(set(info[SET]) - PARTS.keys())
    if strange:
        raise BadDataset(
            name, f"{INFO} has {strange[0]!r} as {SET!r}, which is not one of {', '.join(PARTS)}"
        )
    files = find_by_stem(folder / CLIPS, info["song_id"], name)
    return info[["Genre"]].assign(
        track_id=info["song_id"],
        artist=info["Artist"].str.casefold(),
        part=info[SET].map(PARTS),
        path=[str(files.get(song, folder / CLIPS / f"{song}.mp3")) for song in info["song_id"]],
    )


def _read(folder: Path, file: str, columns: tuple[str, ...], name: str) -> pd.DataFrame:
    root = find_root(folder, ("annotations", ""), file, name)
    # Cells of the published files end in tabs.
    return read_table(root / file, columns, name).apply(lambda cells: cells.str.strip())


def _make_task(
    name: str, card_task: str, kind: Kind, labels: tuple[str, ...], tracks: pd.DataFrame
) -> Task:
    kept = ["label"] if kind == "classification" else list(labels)
    present, missing = keep_present(tracks[["track_id", "artist", "part", "path", *kept]], name)
    data = (Data(name="EmoMusic", use="audio and labels", licence=LICENCE),)
    return Task(name, card_task, kind, labels, present, SPLIT, data, missing)
