"""No artist is in two parts, in any fold, and an artist's part is the same in every set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.errors import BadSplit, EmptyPart
from training.estimator.artist_split import (
    items_of,
    load_split,
    shared_items,
    split_by_artist,
)

TRACKS = pd.DataFrame(
    {
        "track_id": [f"t{number}" for number in range(600)],
        "item_id": [f"i{number // 2}" for number in range(600)],
        "artist": [f"a{number // 6}" for number in range(600)],
    }
)


def test_parts_share_no_artist_and_no_item() -> None:
    for fold in range(5):
        split = split_by_artist(TRACKS, fold=fold)
        assert split.groupby("artist")["part"].nunique().max() == 1
        assert split.groupby("item_id")["part"].nunique().max() == 1
        assert set(split["part"]) == {"train", "validation", "test"}


def test_folds_cover_every_artist_once() -> None:
    tests = [items_of(split_by_artist(TRACKS, fold=fold), ["test"]) for fold in range(5)]
    assert sum(map(len, tests)) == len(set().union(*tests)) == 300


def test_the_test_part_is_the_fold_that_labelled_sets_hold_out() -> None:
    split = split_by_artist(TRACKS, fold=2)
    held_out = split["part"] == "test"
    assert (held_out == (split["artist"].map(deal_fold) == 2)).all()


def test_an_artist_is_in_one_part_whatever_the_other_tracks_and_the_spelling() -> None:
    whole = split_by_artist(TRACKS)
    names = TRACKS["artist"].map(lambda name: f"The {name.upper()}")
    other = split_by_artist(TRACKS.assign(artist=names).sample(300, random_state=0))
    pd.testing.assert_frame_equal(other, whole.loc[other.index])


def test_an_item_of_two_artists_is_in_one_part() -> None:
    tracks = TRACKS.assign(item_id=[f"i{number // 12}" for number in range(600)])
    split = split_by_artist(tracks)
    assert split.groupby("item_id")["part"].nunique().max() == 1
    first = split.groupby("item_id")["artist"].transform("min")
    assert ((split["part"] == "test") == (first.map(deal_fold) == 0)).all()


def test_items_of_several_artists_are_named() -> None:
    assert shared_items(TRACKS) == shared_items(TRACKS.assign(item_id="")) == {}
    collided = TRACKS.assign(item_id=[f"i{number % 300}" for number in range(600)])
    found = shared_items(collided)
    assert len(found) == 300
    assert found["i7"] == ("a1", "a51")


def test_tracks_without_item_are_dealt_by_their_artists() -> None:
    split = split_by_artist(TRACKS.assign(item_id=""))
    assert (split["part"] == split_by_artist(TRACKS)["part"]).all()


def test_the_share_of_validating_artists_is_near_what_was_asked_for() -> None:
    artists = [f"artist {number}" for number in range(5000)]
    tracks = pd.DataFrame({"track_id": artists, "item_id": artists, "artist": artists})
    for share in (0.1, 0.3):
        others = split_by_artist(tracks, validation=share)["part"]
        others = others[others != "test"]
        assert abs((others == "validation").mean() - share) < 0.02


def test_a_track_without_artist_is_dealt_by_its_item() -> None:
    split = split_by_artist(TRACKS.assign(artist=""))
    assert set(split["artist"]) == {f"item i{number}" for number in range(300)}
    assert artist_key("") == ""


def test_a_part_without_artists_is_refused_with_the_remedy() -> None:
    with pytest.raises(EmptyPart, match=r"2 artists.*--fold"):
        split_by_artist(TRACKS[:12])


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_track_that_is_named_twice_is_refused(tmp_path: Path, part: str) -> None:
    rows = f"a,i,x,train\na,i,x,{part}\nb,j,y,validation\n"
    (tmp_path / "split.csv").write_text("track_id,item_id,artist,part\n" + rows)
    with pytest.raises(BadSplit, match=r"names the track 'a' more than once \(1 rows too many\)"):
        load_split(tmp_path / "split.csv")
