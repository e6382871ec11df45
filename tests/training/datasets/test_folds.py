"""No artist is in two parts of any fold; custom data is split so, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.datasets import read_dataset
from training.datasets.custom import read_custom
from training.datasets.folds import N_FOLDS, assign_folds, assign_parts, count_folds
from training.errors import BadDataset

SIDES = ["test", "train", "validation"]
# Twelve songs of each of two classes; readers look for files and do not open them.
SONGS = [f"{genre}/{number:02d}.mp3" for genre in ("jazz", "rock") for number in range(12)]


def some_tracks(seed: int, *, labelled: bool, known: float = 1.0) -> pd.DataFrame:
    """Tracks of 12 to 40 artists, a few prolific; `known` is the share whose artist is named."""
    random = np.random.default_rng(seed)
    n_artists, n_tracks = int(random.integers(12, 41)), int(random.integers(80, 200))
    artists = (n_artists * random.random(n_tracks) ** 2).astype(int)
    named = random.random(n_tracks) < known
    tracks = pd.DataFrame(
        {
            "track_id": [f"t{number}" for number in range(n_tracks)],
            "artist": [
                f"a{number}" if name else "" for number, name in zip(artists, named, strict=True)
            ],
        }
    )
    return tracks.assign(label=[f"c{artist % 3}" for artist in artists]) if labelled else tracks


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_no_artist_is_in_two_parts(seed: int, labelled: bool) -> None:
    tracks = some_tracks(seed, labelled=labelled, known=0.9)
    tracks["fold"] = assign_folds(tracks, seed=seed)
    assert count_folds(tracks) == N_FOLDS
    for fold in range(N_FOLDS):
        parts = assign_parts(tracks, fold)
        assert sorted(set(parts)) == SIDES
        known = tracks.assign(part=parts)[tracks["artist"] != ""]
        assert (known.groupby("artist")["part"].nunique() == 1).all()


def test_each_track_is_tested_once() -> None:
    tracks = some_tracks(0, labelled=True)
    tracks["fold"] = assign_folds(tracks)
    tested = [assign_parts(tracks, fold) == "test" for fold in range(N_FOLDS)]
    np.testing.assert_array_equal(np.sum(tested, 0), 1)


def test_without_artists_each_fold_has_its_share_of_each_class() -> None:
    tracks = pd.DataFrame(
        {
            "track_id": [f"t{number}" for number in range(100)],
            "artist": "",
            "label": ["blues"] * 60 + ["jazz"] * 40,
        }
    )
    folds = assign_folds(tracks, 10)
    shares = pd.crosstab(folds, tracks["label"])
    assert (shares["blues"] == 6).all()
    assert (shares["jazz"] == 4).all()


def test_the_same_fold_is_the_same_tracks_each_time() -> None:
    tracks = some_tracks(1, labelled=True)
    tracks["fold"] = assign_folds(tracks)
    np.testing.assert_array_equal(tracks["fold"], assign_folds(tracks))
    np.testing.assert_array_equal(assign_parts(tracks, 2), assign_parts(tracks, 2))


def test_stated_parts_are_kept_and_a_missing_validation_part_is_chosen_by_artist() -> None:
    tracks = some_tracks(2, labelled=True)
    tracks["part"] = np.where(tracks["artist"].isin(["a0", "a1", "a2"]), "test", "train")
    assert count_folds(tracks) == 1
    parts = assign_parts(tracks, 0)
    np.testing.assert_array_equal(parts == "test", tracks["part"] == "test")
    assert (tracks.assign(part=parts).groupby("artist")["part"].nunique() == 1).all()
    stated = tracks.assign(part=parts)
    np.testing.assert_array_equal(assign_parts(stated, 0), parts)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    for song in (*SONGS, "jazz/cover.jpg", "rock/.DS_Store"):
        (tmp_path / song).parent.mkdir(exist_ok=True)
        (tmp_path / song).touch()
    return tmp_path


def table(folder: Path, header: str, row: Callable[[int, str], str]) -> Path:
    """A table of the 24 songs, a line each of its number and path."""
    path = folder.parent / "table.csv"
    lines = [row(number, song) for number, song in enumerate(SONGS)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_folders_are_the_classes_of_the_audio_in_them(songs: Path) -> None:
    task = read_custom(songs)
    assert (task.name, task.card_task, task.kind) == ("custom", "custom", "classification")
    assert task.labels == ("jazz", "rock")
    assert task.tracks["track_id"].tolist() == SONGS
    assert task.split == "5 folds stratified by label (no artists given)"
    assert task.data[0].licence == "not stated"


def test_a_table_names_files_labels_and_artists(songs: Path) -> None:
    labels = table(
        songs, "file,label,artist,year", lambda n, song: f"{song},{n % 2},a{n // 2},1999"
    )
    task = read_custom(songs, labels, task="mood", licence="internal")
    assert (task.name, task.card_task, task.labels) == ("custom-mood", "mood", ("0", "1"))
    assert task.data[0].licence == "internal"
    assert task.split == "5 folds by artist, none on two sides"
    assert (task.tracks.groupby("artist")["fold"].nunique() == 1).all()
    assert sorted(task.tracks) == ["artist", "fold", "label", "path", "track_id"]


def test_further_columns_are_numbers_to_predict_and_track_ids_are_names_of_files(
    songs: Path,
) -> None:
    for number, song in enumerate(SONGS):
        (songs / song).rename(songs / f"{number:03d}.flac")
    (songs / "labels.csv").write_text(
        "track_id,calm,wild\n" + "".join(f"{n:03d},{n / 10},-1e2\n" for n in range(25))
    )
    task = read_custom(songs)
    assert (task.kind, task.labels) == ("regression", ("calm", "wild"))
    assert task.tracks.set_index("track_id").loc["007", ["calm", "wild"]].tolist() == [0.7, -100]
    assert task.missing == (str(songs / "024"),)


def test_stated_folds_are_kept_counted_from_zero_or_one(songs: Path) -> None:
    counted = table(songs, "file,label,fold", lambda n, song: f"{song},{song[:4]},{1 + n % 3}")
    task = read_custom(songs, counted)
    assert task.tracks["fold"].tolist() == [0, 1, 2] * 8
    assert task.split == "3 folds of its own (no artists given)"


def test_folds_that_a_program_wrote_as_floats_are_those_folds(songs: Path) -> None:
    counted = table(songs, "file,label,fold", lambda n, song: f"{song},{song[:4]},{1 + n % 3}.0")
    assert read_custom(songs, counted).tracks["fold"].tolist() == [0, 1, 2] * 8


def test_a_column_without_a_name_beside_a_label_is_left_out(songs: Path) -> None:
    labels = table(songs, ",file,label", lambda n, song: f"{n},{song},{song[:4]}")
    task = read_custom(songs, labels)
    assert (task.kind, task.labels) == ("classification", ("jazz", "rock"))


def test_stated_parts_are_kept_and_shared_artists_are_reported(songs: Path) -> None:
    parts = [*["train"] * 8, *["validation"] * 2, *["test"] * 2] * 2
    stated = table(
        songs, "path,label,artist,part", lambda n, song: f"{song},{song[:4]},a{n % 11},{parts[n]}"
    )
    task = read_custom(songs, stated)
    assert task.tracks["part"].tolist() == parts
    shared = pd.DataFrame({"artist": [n % 11 for n in range(24)], "part": parts})
    n_shared = (shared.groupby("artist")["part"].nunique() > 1).sum()
    assert task.split == f"parts of its own, {n_shared} artists on two sides"


@pytest.mark.parametrize(
    ("header", "row", "reason"),
    [
        (
            "song,label",
            "{song},a",
            "has no column file or path or track_id; the columns are 'song', 'label'",
        ),
        ("file", "{song}", "neither a column label nor a column of numbers"),
        ("file,label", "{song},", r"no label in row 2 \(24 of 24 rows\)"),
        ("file,label", ",a", r"no file in row 2 \(24 of 24 rows\)"),
        ("file,label", "{song},a", "all 24 tracks with an audio file have the label 'a'"),
        ("file,label", "jazz/00.mp3,{odd}", "jazz/00.mp3 more than once"),
        (
            "file,label",
            "{song},{rare}",
            "9 tracks of the class 'rare' have audio files, and 5 folds need 10",
        ),
        (
            "file,label,artist",
            "{song},{odd},a{odd}",
            "2 artists have audio files, and 5 folds need 10",
        ),
        ("file,mood", "{song},good", "column mood holds 'good' for jazz/00.mp3"),
        ("file,mood", "{song},nan", "column mood holds 'nan' for jazz/00.mp3"),
        (
            ",file,mood",
            "{n},{song},0.5",
            "a column without a name, which is no target but the number",
        ),
        ("Unnamed: 0,file,mood", "7,{song},0.5", "a column Unnamed: 0, which is no target"),
        ("file,index,mood", "{song},{n},0.5", "a column index, which is no target"),
        ("file,mood,count", "{song},0.5,{n}", "a column count, which is no target"),
        ("file,row", "{song},1", "a column row, a reserved name"),
        ("file,label,fold", "{song},{odd},x", "jazz/00.mp3 has the fold 'x'; it must be a number"),
        ("file,label,fold", "{song},{odd},2", "are 2; there must be two or more"),
        ("file,label,fold", "{song},{odd},{odd}", "0 tracks of the class '0' are left to train on"),
        ("file,label,part", "{song},{odd},dev", "has the part 'dev'; it must be train or valid"),
        (
            "file,label,part",
            "{song},{odd},train",
            "no track with .* has the part 'test'",
        ),
        ("file,label,part,fold", "{song},{odd},train,1", "remove one of the columns"),
        (
            "file,label",
            "wav/{song},{odd}",
            "none of the 24 audio files exists, .*wav/jazz/00.mp3",
        ),
    ],
)
def test_an_unusable_table_is_refused_with_the_reason(
    header: str, row: str, reason: str, songs: Path
) -> None:
    labels = table(
        songs,
        header,
        lambda n, song: row.format(song=song, n=n, odd=n % 2, rare="rare" if n < 9 else "often"),
    )
    with pytest.raises(BadDataset, match=reason):
        read_custom(songs, labels)


def test_options_of_custom_data_are_refused_for_published_sets(songs: Path) -> None:
    assert read_dataset("custom", songs, task="mood").card_task == "mood"
    with pytest.raises(BadDataset, match="'a/b' is part of a URL"):
        read_dataset("custom", songs, task="a/b")
    with pytest.raises(BadDataset, match="these options are for `custom`"):
        read_dataset("gtzan", songs, task="mood")
    with pytest.raises(BadDataset, match="unknown data set; choose custom, artist-tags"):
        read_dataset("gtzam", songs)


def test_own_is_the_former_name_of_custom_and_results_stay_filed_under_it(songs: Path) -> None:
    task = read_dataset("own", songs, task="mood")
    assert (task.name, task.card_task) == ("own-mood", "mood")
    assert read_dataset("own", songs).card_task == "own"


def test_a_name_that_two_files_have_is_refused(songs: Path) -> None:
    labels = table(songs, "track_id,label", lambda n, song: f"{Path(song).stem},{n % 2}")
    with pytest.raises(BadDataset, match=r"'00' is jazz/00\.mp3 and rock/00\.mp3; name files"):
        read_custom(songs, labels)
