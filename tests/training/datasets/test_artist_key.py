"""An artist has one key, however the sets spell the name, and no two artists have the same."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from training.datasets.artist_key import artist_key

DATA = Path(__file__).parents[4] / "shared" / "data"
# Tables that name artists and join them to the logs.
JOINED = (
    "midi-excerpts/tracks.csv",
    "mood-recordings/tracks.csv",
    "gtzan-identities/gtzan_artist_title.csv",
)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("The Example Band", "Example Band, The"),
        ("Éxample Bänd", "Example Band"),
        ("EXAMPLE BAND", "example band"),
        ("E.X.A.", "EXA"),
        ("Example & the Others", "Example and Others"),
        ("Example + Others", "Example And The Others"),
        ("*Ex-ample", "'Ex Ample"),
        ("ＥＸＡＭＰＬＥ", "Example"),
        ("Стра́нник", "СТРАННИК"),
    ],
)
def test_spellings_of_one_name_have_one_key(name: str, other: str) -> None:
    assert artist_key(name) == artist_key(other) != ""


def test_other_names_have_other_keys() -> None:
    names = ["Anders", "Ander", "Theo", "Eo", "Band 1", "Band 2", "Странник", "Странница"]
    assert len({artist_key(name) for name in names}) == len(names)


def test_a_name_of_nothing_else_is_its_own_key() -> None:
    assert artist_key("The The") != artist_key("And") != artist_key("!!!")
    assert all(artist_key(name) for name in ("The The", "And", "!!!", "_"))
    assert artist_key("") == artist_key(" ") == ""


def read(file: str) -> pd.DataFrame:
    return pd.read_csv(DATA / file, dtype=str, keep_default_na=False)


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_every_id_of_the_logs_has_one_key_in_all_sets() -> None:
    logs = read("lastfm-hetrec2011/artists.csv").rename(columns={"name": "artist"})
    tables = [logs, *(read(file) for file in JOINED)]
    rows = pd.concat(table[["artist_id", "artist"]] for table in tables)
    rows = rows[rows["artist_id"] != ""].drop_duplicates()
    names = rows.groupby("artist_id")["artist"].nunique()
    assert (names > 1).sum() >= 12  # the test is about these
    keys = rows.assign(key=rows["artist"].map(artist_key)).groupby("artist_id")["key"].nunique()
    assert (keys == 1).all(), keys[keys > 1]


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_a_key_joins_two_ids_only_where_the_logs_spell_a_name_twice() -> None:
    """Of the artists with audio, no two ids have one key."""
    rows = pd.concat(read(file)[["artist_id", "artist"]] for file in JOINED)
    rows = rows[rows["artist_id"] != ""]
    ids = rows["artist_id"].groupby(rows["artist"].map(artist_key)).nunique()
    assert (ids == 1).all(), ids[ids > 1]
