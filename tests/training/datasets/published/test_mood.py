"""Mood recordings are read as quadrants and as clusters, each from its own source."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from training.datasets import load_reader
from training.datasets.artist_key import artist_key
from training.datasets.folds import N_FOLDS, deal_fold
from training.datasets.published.mood import TRACKS
from training.errors import BadDataset

N_ARTISTS = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tracks of each artist in each source; the second spells the artists otherwise."""
    lines = ["track_id,source,artist,quadrant,cluster"]
    (tmp_path / "audio").mkdir()
    for number in range(2 * N_ARTISTS):
        artist = number // 2
        rows = (
            (f"q{number}", "4q", f"The Artist {artist}", f"Q{number % 4 + 1}", ""),
            (f"m{number}", "mirex-like", f"artist-{artist}", "", str(number % 5 + 1)),
        )
        for row in rows:
            lines.append(",".join(row))
            (tmp_path / f"audio/{row[0]}.opus").touch()
    (tmp_path / TRACKS).write_text("\n".join(lines) + "\n")
    return tmp_path


def test_quadrants_are_named_and_grouped_into_valence_and_arousal(folder: Path) -> None:
    task = load_reader("mood-quadrant")(folder)
    assert (task.card_task, task.labels) == ("mood", ("happy", "tense", "sad", "calm"))
    assert task.groups == {"valence": ("happy", "calm"), "arousal": ("happy", "tense")}
    assert task.tracks["label"].tolist() == [*task.labels] * (N_ARTISTS // 2)
    assert task.tracks["track_id"].str.startswith("q").all()
    assert "research" in task.data[0].licence
    assert task.missing == ()


def test_clusters_are_those_of_the_other_source(folder: Path) -> None:
    (folder / "audio/m3.opus").unlink()
    task = load_reader("mood-cluster")(folder)
    assert (task.card_task, task.groups) == ("mood-cluster", {})
    assert len(task.labels) == task.tracks["label"].nunique() == 5
    assert len(task.tracks) == 2 * N_ARTISTS - 1
    assert task.missing == (str(folder / "audio/m3"),)


def test_an_artist_is_in_the_same_fold_of_both_sets(folder: Path) -> None:
    quadrant, cluster = (load_reader(f"mood-{name}")(folder) for name in ("quadrant", "cluster"))
    both = pd.concat([quadrant.tracks, cluster.tracks])
    assert both["artist"].nunique() == N_ARTISTS
    assert (both.groupby("artist")["fold"].nunique() == 1).all()
    assert set(both["fold"]) == set(range(N_FOLDS))


def test_tracks_of_unknown_artists_are_dealt_one_by_one(folder: Path) -> None:
    table = pd.read_csv(folder / TRACKS, dtype=str, keep_default_na=False)
    table.assign(artist="").to_csv(folder / TRACKS, index=False)
    tracks = load_reader("mood-quadrant")(folder).tracks
    assert set(tracks["artist"]) == {""}
    assert set(tracks["fold"]) == set(range(N_FOLDS))


def test_a_quadrant_that_does_not_exist_is_refused(folder: Path) -> None:
    path = folder / TRACKS
    path.write_text(path.read_text().replace(",Q3,", ",Q5,"))
    with pytest.raises(BadDataset, match=r"tracks\.csv has the quadrant 'Q5', not Q1, Q2, Q3, Q4"):
        load_reader("mood-quadrant")(folder)


def test_a_folder_that_leaves_a_fold_empty_is_refused(folder: Path) -> None:
    for path in (folder / "audio").glob("q*"):
        artist = artist_key(f"The Artist {int(path.stem[1:]) // 2}")
        if deal_fold(artist) == 2:
            path.unlink()
    with pytest.raises(BadDataset, match="with an audio file is dealt to the fold 2 of 5"):
        load_reader("mood-quadrant")(folder)
