"""The mood recordings have the tags of their artists, several a track."""

from __future__ import annotations

import gzip
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from models.card import AudioInput
from tests.sounds import golden, write
from training.datasets import load_reader
from training.datasets.folds import N_FOLDS
from training.datasets.prepared import TaskData, prepare_task
from training.datasets.published.artist_tags import MSD_TAGS, RECORDINGS, TAGS
from training.errors import BadDataset

N_ARTISTS = 40
AUDIO = AudioInput(sample_rate=8000, window_s=0.5, short_audio="repeat", min_audio_s=0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A track of each artist; every third artist is not joined to the logs."""
    audio = tmp_path / RECORDINGS / "audio"
    audio.mkdir(parents=True)
    lines = ["track_id,artist,artist_id"]
    for number in range(N_ARTISTS):
        lines.append(f"t{number},Artist {number},{number if number % 3 else ''}")
        write(audio / f"t{number}.wav", golden(0.5, 8000, 1), 8000)
    (tmp_path / RECORDINGS / "tracks.csv").write_text("\n".join(lines) + "\n")
    write_tags(tmp_path, [f"{number},rock,3" for number in range(N_ARTISTS)])
    return tmp_path


def write_tags(folder: Path, rows: list[str]) -> None:
    (folder / TAGS).parent.mkdir(exist_ok=True)
    with gzip.open(folder / TAGS, "wt") as file:
        file.write("\n".join(["artist_id,tag,n_users", *rows]) + "\n")


def tags_of(folder: Path, track: str) -> set[str]:
    row = load_reader("artist-tags")(folder).tracks.set_index("track_id").loc[track]
    return {label for label in MSD_TAGS if row[label] == 1}


def test_a_tag_counts_from_two_users_on(folder: Path) -> None:
    rows = [f"{number},pop,2" for number in range(N_ARTISTS)]
    write_tags(folder, [*rows, "1,jazz,2", "1,metal,1", "1,no such label,9"])
    assert tags_of(folder, "t1") == {"pop", "jazz"}
    assert tags_of(folder, "t2") == {"pop"}


def test_spellings_of_a_tag_are_one_label(folder: Path) -> None:
    rows = [f"{number},pop,2" for number in range(N_ARTISTS)]
    write_tags(folder, [*rows, "1,hip hop,2", "2,HIP-HOP,2", "4,mellow,2", "4,progressive Rock,2"])
    assert tags_of(folder, "t1") == tags_of(folder, "t2") == {"pop", "Hip-Hop"}
    assert tags_of(folder, "t4") == {"pop", "Mellow", "Progressive rock"}


def test_artists_of_whom_nothing_is_known_are_left_out(folder: Path) -> None:
    rows = [f"{number},a word of users,2" for number in range(N_ARTISTS) if number not in (1, 2)]
    write_tags(folder, [*rows, "1,rock,1"])
    task = load_reader("artist-tags")(folder)
    found = set(task.tracks["track_id"])
    assert found == {f"t{number}" for number in range(N_ARTISTS) if number % 3} - {"t1", "t2"}
    assert (task.tracks[[*MSD_TAGS]] == 0).all().all()
    assert set(task.tracks["fold"]) == set(range(N_FOLDS))


def test_a_prepared_set_has_a_row_of_zeros_and_ones_per_track(folder: Path, tmp_path: Path) -> None:
    write_tags(folder, [f"{n},{tag},2" for n in range(N_ARTISTS) for tag in ("rock", "House")])
    task = load_reader("artist-tags")(folder)
    deque(prepare_task(task, tmp_path / "prepared", AUDIO), maxlen=0)
    data = TaskData.load(tmp_path / "prepared")
    assert (data.facts.kind, data.facts.card_task) == ("multilabel", "tags")
    assert data.targets.dtype == np.float32
    assert data.targets.shape == (len(task.tracks), 50)
    expected = np.isin(MSD_TAGS, ["rock", "House"]).astype(np.float32)
    np.testing.assert_array_equal(data.targets, np.tile(expected, (len(task.tracks), 1)))


def test_a_table_without_a_tag_that_counts_is_refused(folder: Path) -> None:
    write_tags(folder, ["1,rock,1"])
    with pytest.raises(BadDataset, match="no tag of 2 users or more"):
        load_reader("artist-tags")(folder)
    write_tags(folder, ["1,rock,many"])
    with pytest.raises(BadDataset, match="column n_users holds 'many' for 1"):
        load_reader("artist-tags")(folder)
