"""Each data set is read from its published layout; missing files are reported."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from models.card import AudioInput
from tests.sounds import golden, write
from training.datasets import CUSTOM, READERS, load_reader, read_dataset
from training.datasets.accounts import ACCOUNTS
from training.datasets.folds import assign_parts, count_folds
from training.datasets.prepared import TASK, TaskData, prepare_task
from training.datasets.published.ballroom import INDEX
from training.datasets.published.gtzan import GENRES, PART_LISTS
from training.errors import BadDataset

# The two header rows of FMA's tracks.csv, whole.
FMA = {
    "album": "comments date_created date_released engineer favorites id information listens "
    "producer tags title tracks type",
    "artist": "active_year_begin active_year_end associated_labels bio comments date_created "
    "favorites id latitude location longitude members name related_projects tags website "
    "wikipedia_page",
    "set": "split subset",
    "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top "
    "genres genres_all information interest language_code license listens lyricist number "
    "publisher tags title",
}
SONGS_INFO = (
    "song_id,file_name,Artist,Song title,start of the segment (min.sec),"
    "end of the segment (min.sec),Genre,Mediaeval 2013 set\n"
)
RATINGS = "song_id,mean_arousal,std_arousal,mean_valence,std_valence\n"
WHERE = {
    "artist-tags": "mood-recordings/tracks.csv",
    "dcase2016": "meta.txt",
    "emotify-gems": "tracks.csv",
    "emotify-genre": "tracks.csv",
    "esc10": "meta/esc50.csv",
    "extended-ballroom": INDEX,
    "fma-medium": "fma_metadata/tracks.csv",
    "fma-small": "fma_metadata/tracks.csv",
    "gtzan": "genres/blues",
    "gtzan-fault-filtered": "train_filtered.txt",
    "gtzan-mini": "tracks.csv",
    "mood-cluster": "tracks.csv",
    "mood-quadrant": "tracks.csv",
    "own": "a folder for each class",
    "custom": "a folder for each class",
    "emomusic-arousal": "annotations/static_annotations.csv",
    "emomusic-genre": "annotations/songs_info.csv",
    "emomusic-valence": "annotations/static_annotations.csv",
}


def fill(folder: Path, files: Iterable[str]) -> None:
    """The same short sound at each of these paths."""
    sound = write(folder / "sound.wav", golden(0.5, 8000, 1), 8000)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(sound.read_bytes())
    sound.unlink()


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def check_parts(tracks: pd.DataFrame) -> None:
    """No artist, or other group, is in two parts of any fold."""
    for fold in range(count_folds(tracks)):
        parts = tracks.assign(side=assign_parts(tracks, fold))
        assert set(parts["side"]) == {"train", "validation", "test"}
        assert (parts.groupby("artist")["side"].nunique() == 1).all()


@pytest.fixture
def emomusic(tmp_path: Path) -> Path:
    """Thirty songs of ten artists, with the tabs of the published tables."""
    rows = [
        f"{song},{song:04d}.mp3,Artist {song % 10}\t,Title\t,1.05,1.5,"
        f"{('Blues', 'Folk')[song % 2]}\t,{('development', 'evaluation')[song % 10 == 9]}\t\n"
        for song in range(2, 32)
    ]
    text(tmp_path / "annotations/songs_info.csv", SONGS_INFO + "".join(rows))
    ratings = "".join(f"{song},3.{song % 10},1.2,5.5,0.9\n" for song in range(2, 32))
    text(tmp_path / "annotations/static_annotations.csv", RATINGS + ratings)
    fill(tmp_path, [f"clips_45seconds/{song}.mp3" for song in range(2, 31)])
    return tmp_path


@pytest.mark.parametrize("name", WHERE)
def test_a_folder_of_another_layout_is_refused_with_the_missing_path(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(BadDataset, match=WHERE[name]) as refusal:
        read_dataset(name, tmp_path)
    assert READERS.keys() | set(CUSTOM) == WHERE.keys()
    assert str(tmp_path) in str(refusal.value)
    assert name in str(refusal.value)


@pytest.mark.parametrize(
    ("place", "ending"), [("genres", "au"), ("Data/genres_original", "wav"), (".", "wav")]
)
def test_gtzan_has_ten_stratified_folds(place: str, ending: str, tmp_path: Path) -> None:
    files = [f"{genre}/{genre}.{n:05d}.{ending}" for genre, n in product(GENRES, range(90, 100))]
    fill(tmp_path, [f"{place}/{file}" for file in files])
    task = load_reader("gtzan")(tmp_path)
    assert task.labels == GENRES
    assert len(task.missing) == 900
    assert str(tmp_path / place / "blues/blues.00000.wav") in task.missing
    assert (pd.crosstab(task.tracks["fold"], task.tracks["label"]) == 1).all().all()
    (tmp_path / place / files[0]).unlink()
    with pytest.raises(BadDataset, match=r"'blues' has 9 tracks with an audio file, and 10 folds"):
        load_reader("gtzan")(tmp_path)


def test_fault_filtered_gtzan_has_the_parts_of_its_lists(tmp_path: Path) -> None:
    for number, file in enumerate(PART_LISTS.values()):
        text(tmp_path / file, "".join(f"{g}/{g}.{number:05d}.wav\n" for g in GENRES))
    fill(tmp_path, [f"genres/{g}/{g}.{n:05d}.wav" for g, n in product(GENRES, (0, 1, 3))])
    task = load_reader("gtzan-fault-filtered")(tmp_path)
    parts = task.tracks.groupby("part")["track_id"].apply(set).to_dict()
    assert parts == {
        "train": {f"{genre}.00000" for genre in GENRES},
        "validation": {f"{genre}.00001" for genre in GENRES},
    }
    with pytest.raises(BadDataset, match=r"test part has no track with an audio file \(10 files"):
        read_dataset("gtzan-fault-filtered", tmp_path)


def test_fma_has_its_own_parts_and_medium_has_small_in_it(tmp_path: Path) -> None:
    columns = [(top, name) for top, names in FMA.items() for name in names.split()]
    rows = [
        (2, "training", "medium", "Hip-Hop", 1),
        (140, "training", "small", "Folk", 54),
        (141, "validation", "small", "Folk", 55),
        (100010, "test", "small", "Rock", 56),
        (155, "training", "large", "", 57),
    ]
    (tmp_path / "fma_metadata").mkdir()
    with (tmp_path / "fma_metadata/tracks.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerows([["", *header] for header in zip(*columns, strict=True)])
        table.writerow(["track_id", *[""] * len(columns)])
        for track, part, subset, genre, artist in rows:
            cells = dict.fromkeys(columns, "") | {("artist", "bio"): 'said, "yes"\n\nand no'}
            cells |= {("set", "split"): part, ("set", "subset"): subset}
            cells |= {("track", "genre_top"): genre, ("artist", "id"): str(artist)}
            table.writerow([track, *cells.values()])
    fill(tmp_path, ["fma_small/000/000140.mp3", "fma_small/100/100010.mp3"])
    fill(tmp_path, ["fma_medium/000/000002.mp3", "fma_medium/000/000140.mp3"])
    small, medium = load_reader("fma-small")(tmp_path), load_reader("fma-medium")(tmp_path)
    assert small.tracks[["track_id", "part", "label", "artist"]].to_numpy().tolist() == [
        ["000140", "train", "Folk", "54"],
        ["100010", "test", "Rock", "56"],
    ]
    assert small.missing == (str(tmp_path / "fma_small/000/000141.mp3"),)
    assert medium.tracks["track_id"].tolist() == ["000002", "000140"]
    assert medium.labels == ("Folk", "Hip-Hop")


def test_extended_ballroom_has_ten_stratified_folds(tmp_path: Path) -> None:
    song = '<song album="Ballroom" artist="A &amp; B" bpm="87" id="{}" title="T" hash="f">{}</song>'
    songs = "".join(song.format(100600 + n, '<exact id="100603"/>' * (n > 8)) for n in range(11))
    text(tmp_path / INDEX, f"<ballroom><Waltz>{songs}</Waltz><Chacha>{songs}</Chacha></ballroom>")
    fill(tmp_path, [f"{d}/{100600 + n}.mp3" for d, n in product(("Waltz", "Chacha"), range(10))])
    task = load_reader("extended-ballroom")(tmp_path)
    assert task.labels == ("Chacha", "Waltz")
    assert "Waltz/100609" in set(task.tracks["track_id"])
    assert (pd.crosstab(task.tracks["fold"], task.tracks["label"]) == 1).all().all()
    assert task.missing == tuple(str(tmp_path / f"{d}/100610.mp3") for d in ("Waltz", "Chacha"))


def test_emomusic_has_its_own_parts_and_a_validation_part_by_artist(emomusic: Path) -> None:
    genre = load_reader("emomusic-genre")(emomusic)
    assert genre.labels == ("Blues", "Folk")
    assert genre.missing == (str(emomusic / "clips_45seconds/31.mp3"),)
    assert set(genre.tracks.loc[genre.tracks["part"] == "test", "artist"]) == {"artist 9"}
    check_parts(genre.tracks)


def test_emomusic_ratings_are_means_of_one_to_nine(emomusic: Path) -> None:
    arousal, valence = (
        load_reader("emomusic-arousal")(emomusic),
        load_reader("emomusic-valence")(emomusic),
    )
    assert (arousal.kind, arousal.labels) == ("regression", ("arousal",))
    assert arousal.tracks.set_index("track_id")["arousal"]["17"] == 3.7
    assert set(valence.tracks["valence"]) == {5.5}
    (emomusic / "annotations/songs_info.csv").rename(emomusic / "songs_info.csv")
    text(emomusic / "annotations/static_annotations.csv", RATINGS + "4,n/a,1.2,5.5,0.9\n")
    assert load_reader("emomusic-valence")(emomusic).tracks["track_id"].tolist() == ["4"]
    with pytest.raises(BadDataset, match="arousal holds 'n/a' for 4, which is not a number"):
        load_reader("emomusic-arousal")(emomusic)


def test_dcase2016_has_its_own_folds_and_keeps_each_place_in_one_part(tmp_path: Path) -> None:
    files = {  # each place in the fold of its number
        f"audio/{kind}{place:03d}_{start}_{start + 30}.wav": (scene, place % 4)
        for (kind, scene), place, start in product(
            (("a", "cafe/restaurant"), ("b", "beach")), range(12), (0, 30)
        )
    }
    text(tmp_path / "meta.txt", "".join(f"{f}\t{scene}\n" for f, (scene, _) in files.items()))
    for fold in range(4):
        tested = [file for file, (_, where) in files.items() if where == fold]
        text(tmp_path / f"evaluation_setup/fold{fold + 1}_test.txt", "\n".join(tested) + "\n")
    fill(tmp_path, list(files)[:-1])
    task = load_reader("dcase2016")(tmp_path)
    assert task.labels == ("beach", "cafe/restaurant")
    assert task.missing == (str(tmp_path / "audio/b011_30_60.wav"),)
    assert task.tracks.set_index("track_id")["fold"]["a006_30_60"] == 2
    check_parts(task.tracks)
    text(tmp_path / "evaluation_setup/fold1_test.txt", "audio/b001_0_30.wav\n")
    with pytest.raises(BadDataset, match=r"audio/a000_0_30\.wav is in 0 of the 4 lists"):
        load_reader("dcase2016")(tmp_path)


def test_esc10_is_its_rows_of_esc50(tmp_path: Path) -> None:
    header = "filename,fold,target,category,esc10,src_file,take\n"
    rows = (
        "1-100032-A-0.wav,1.0,0,dog,True,100032,A\n"  # as pandas writes a column with a gap
        "1-100038-A-14.wav,1,14,chirping_birds,False,100038,A\n"
        "5-9032-A-0.wav,5,0,dog,True,9032,A\n"
    )
    text(tmp_path / "meta/esc50.csv", header + rows)
    fill(tmp_path, ["audio/1-100032-A-0.wav", "audio/1-100038-A-14.wav"])
    task = load_reader("esc10")(tmp_path)
    assert task.tracks[["track_id", "fold", "label", "artist"]].to_numpy().tolist() == [
        ["1-100032-A-0", 0, "dog", "100032"]
    ]
    assert task.missing == (str(tmp_path / "audio/5-9032-A-0.wav"),)


def test_a_prepared_data_set_is_loaded_as_it_was_read(emomusic: Path) -> None:
    audio = AudioInput(sample_rate=8000, window_s=1.0, short_audio="repeat", min_audio_s=0.1)
    task = load_reader("emomusic-arousal")(emomusic)
    (emomusic / "clips_45seconds/9.mp3").write_text("not music\n" * 100)
    records = list(prepare_task(task, emomusic / "out", audio))
    assert [record["track_id"] for record in records if "reason" in record] == ["9"]
    data = TaskData.load(emomusic / "out")
    assert (data.facts.kind, data.facts.labels) == ("regression", ("arousal",))
    assert data.facts.data == task.data
    joined, listed, decoded = json.loads((emomusic / "out" / ACCOUNTS).read_text())
    assert (joined["met"]["tracks"], joined["left"]) == (30, "songs")
    assert (listed["met"]["tracks"], listed["left_counts"]["tracks"]) == (29, 30)
    assert listed["examples"] == [str(emomusic / "clips_45seconds/31.mp3")]
    assert (decoded["met"]["tracks"], decoded["examples"]) == (28, ["9"])
    kept = task.tracks[task.tracks["track_id"] != "9"]
    assert data.prepared.tracks["track_id"].tolist() == kept["track_id"].tolist()
    assert data.targets[:, 0].tolist() == pytest.approx(kept["arousal"].tolist())
    assert data.parts(0).tolist().count("test") == 2
    assert data.waveforms(data.rows[0]).shape == (1, 8000)
    assert "groups" not in (emomusic / "out" / TASK).read_text()


def test_groups_of_labels_are_kept_with_a_prepared_data_set(emomusic: Path) -> None:
    audio = AudioInput(sample_rate=8000, window_s=1.0, short_audio="repeat", min_audio_s=0.1)
    groups = {"rooted": ("Blues", "Folk"), "slow": ("Blues",)}
    task = replace(load_reader("emomusic-genre")(emomusic), groups=groups)
    list(prepare_task(task, emomusic / "out", audio))
    assert TaskData.load(emomusic / "out").facts.groups == groups
