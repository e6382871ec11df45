"""Columns are found by their usual names; where two fit, the user says which."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.training.mine.world import make_collection
from training.errors import BadTable, NothingInCommon, UnknownColumn, Unmatched
from training.mine.columns import guess
from training.mine.inputs import Inputs, read_inputs
from training.mine.settings import Columns, Sources

TABLE = Path("plays.csv")


def read(folder: Path, *, catalogue: bool = True, **columns: str) -> tuple[Inputs, list[str]]:
    said: list[str] = []
    table = folder / "catalogue.csv" if catalogue else None
    sources = Sources(folder / "songs", (folder / "plays.csv",), table, Columns(**columns))
    return read_inputs(sources, said.append), said


def edit(path: Path, **names: str) -> None:
    table = pd.read_csv(path, dtype=str)
    table.rename(columns=names).to_csv(path, index=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_collection(tmp_path / "mine", n_songs=6, n_users=20, n_silent=4, plays_per_user=3)
    return made.folder


@pytest.mark.parametrize(
    ("role", "names", "found"),
    [
        ("user", ["when", "User ID", "song"], "User ID"),
        ("user", ["userId", "movie"], "userId"),
        ("item", ["user", "artist_id", "track_id"], "track_id"),
        ("item", ["user", "artist_id", "plays"], "artist_id"),
        ("count", ["user", "item", "play_count"], "play_count"),
    ],
)
def test_a_usual_name_is_guessed(role: str, names: list[str], found: str) -> None:
    assert guess(TABLE, role, None, names) == found


def test_two_that_fit_are_asked_for_and_refused_where_nobody_answers() -> None:
    names = ["user", "track_id", "song_id"]
    asked: list[object] = []

    def choose(what: str, fitting: object) -> str:
        asked.append((what, fitting))
        return "song_id"

    assert guess(TABLE, "item", None, names, choose) == "song_id"
    assert asked == [("column of the item id in plays.csv", ["track_id", "song_id"])]
    message = "could each hold the item id: 'track_id', 'song_id'; name it with --item-column"
    with pytest.raises(UnknownColumn, match=message):
        guess(TABLE, "item", None, names)
    assert guess(TABLE, "item", "track_id", names) == "track_id"


def test_an_unusual_name_is_refused_with_the_columns_and_the_option() -> None:
    message = "no column is the user id; name it with --user-column. The columns are 'who', 'song'"
    with pytest.raises(UnknownColumn, match=message):
        guess(TABLE, "user", None, ["who", "song"])
    with pytest.raises(BadTable, match="has no column whom; the columns are 'who', 'song'"):
        guess(TABLE, "user", "whom", ["who", "song"])
    assert guess(TABLE, "count", None, ["who", "song"], optional=True) is None


def test_what_is_there_is_counted_and_what_is_guessed_is_said(folder: Path) -> None:
    inputs, said = read(folder)
    n_played = len(inputs.logs.items)
    assert said[0] == f"6 songs with audio, {n_played} played, {inputs.n_both} of both, 20 users"
    assert "user id of the plays: User ID" in said
    assert "left out: 4 rows of the catalogue: no file of that name" in said
    assert set(inputs.tracks["artist"]) == {"artist 0", "artist 1", "artist 2"}


def test_without_a_catalogue_the_names_of_files_are_the_ids(folder: Path) -> None:
    (folder / "songs" / "more").mkdir()
    (folder / "songs" / "song-0000.wav").rename(folder / "songs" / "more" / "song-0000.wav")
    inputs, said = read(folder, catalogue=False)
    assert len(inputs.tracks) == 6
    assert "song-0000" in set(inputs.tracks["item_id"])
    assert inputs.artist_keys.nunique() == 6
    assert not any("catalogue" in line for line in said)


def test_files_of_one_name_are_told_apart_by_their_folders(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / "songs" / name).mkdir()
        copy = folder / "songs" / name / "intro.wav"
        copy.write_bytes((folder / "songs" / "song-0000.wav").read_bytes())
    inputs, _ = read(folder, catalogue=False)
    assert {"one/intro", "two/intro"} <= set(inputs.tracks["track_id"])


def test_the_column_that_names_the_files_is_the_one_that_they_are_named_by(folder: Path) -> None:
    table = pd.read_csv(folder / "catalogue.csv")
    table["track_id"] = [f"file{index}" for index in range(len(table))]
    table.to_csv(folder / "catalogue.csv", index=False)
    for index in range(6):
        file = folder / "songs" / f"song-{index:04}.wav"
        file.rename(folder / "songs" / f"file{index}.wav")
    inputs, said = read(folder)
    assert list(inputs.tracks["track_id"]) == [f"file{index}" for index in range(6)]
    assert list(inputs.tracks["item_id"]) == [f"song-{index:04}" for index in range(6)]
    assert "file of the catalogue: track_id" in said


def test_a_column_of_paths_names_the_files(folder: Path) -> None:
    table = pd.read_csv(folder / "catalogue.csv")
    table["file"] = [f"{name}.wav" for name in table["song_id"]]
    table.to_csv(folder / "catalogue.csv", index=False)
    inputs, said = read(folder)
    assert "file of the catalogue: file" in said
    assert list(inputs.tracks["track_id"]) == [f"song-{index:04}" for index in range(6)]


def test_repeated_plays_are_summed(folder: Path) -> None:
    events = pd.DataFrame({"user": ["a", "a", "a", "b"], "track": ["song-0000"] * 4})
    events.loc[3, "track"] = "song-0001"
    events.to_csv(folder / "plays.csv", index=False)
    edit(folder / "catalogue.csv", song_id="track")
    inputs, said = read(folder)
    assert "number of plays: the number of rows" in said
    assert sorted(inputs.logs.user_items.data) == [1, 3]


def test_rows_without_an_id_are_counted(folder: Path) -> None:
    plays = pd.read_csv(folder / "plays.csv", dtype=str)
    plays.loc[:2, "song_id"] = ""
    plays.loc[3, "plays"] = "many"
    plays.to_csv(folder / "plays.csv", index=False)
    _, said = read(folder)
    assert "left out: 3 rows of plays: missing id" in said
    assert "left out: 1 rows of plays: count no number" in said


def test_ids_that_have_nothing_in_common_are_refused_with_one_of_each(folder: Path) -> None:
    plays = pd.read_csv(folder / "plays.csv", dtype=str)
    plays["song_id"] = "x" + plays["song_id"]
    plays.to_csv(folder / "plays.csv", index=False)
    with pytest.raises(NothingInCommon, match=r"0 of both.*'song-0000'.*'xsong-0000'"):
        read(folder)


def test_ids_that_differ_in_a_point_and_a_zero_are_refused(folder: Path) -> None:
    for index in range(6):
        file = folder / "songs" / f"song-{index:04}.wav"
        file.rename(folder / "songs" / f"{index}.wav")
    plays = pd.read_csv(folder / "plays.csv", dtype=str)
    number = plays["song_id"].str.removeprefix("song-").astype(int)
    plays["song_id"] = [f"{index}.0" if index else "0" for index in number]
    plays.to_csv(folder / "plays.csv", index=False)
    with pytest.raises(Unmatched, match=r"is spelled '1\.0' there"):
        read(folder, catalogue=False)
