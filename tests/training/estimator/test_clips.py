"""Clips of the parts: factors, sets, weights; clips without factors of no held-out artist."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.training.estimator.sets import make_factors
from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.errors import NothingToTrain
from training.estimator.artist_split import split_by_artist
from training.estimator.clips import (
    UNLABELLED,
    Clips,
    choose_clips,
    choose_unlabelled,
    join_clips,
    join_targets,
)

ARTISTS = [f"artist {number}" for number in range(40)]
FACTORS = make_factors(ARTISTS[:30])


def make_tracks(artists: list[str], name: str, first_row: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "track_id": [f"{name}-{number}" for number in range(len(artists))],
            "item_id": [artist_key(artist) for artist in artists],
            "artist": artists,
            "row": np.arange(first_row, first_row + len(artists)),
            "set": name,
        }
    )


@pytest.fixture
def tracks() -> pd.DataFrame:
    """A set with four clips of each artist, and one with a single clip of every second artist."""
    first = make_tracks(4 * ARTISTS, "renderings")
    return pd.concat([first, make_tracks(ARTISTS[::2], "recordings", len(first))])


@pytest.fixture
def split(tracks: pd.DataFrame) -> pd.DataFrame:
    return split_by_artist(tracks, fold=1, validation=0.3)


def test_a_part_has_its_clips_with_a_factor(tracks: pd.DataFrame, split: pd.DataFrame) -> None:
    parts = {
        part: choose_clips(tracks, split, part, FACTORS, "unit")
        for part in ("train", "validation", "test")
    }
    rows = np.concatenate([clips.rows for clips in parts.values()])
    known = tracks[tracks["item_id"].isin(FACTORS.items)]
    assert sorted(rows) == sorted(known["row"])
    clips = parts["train"]
    assert clips.set_names == ("renderings", "recordings")
    assert [clips.set_names[index] for index in clips.set_index] == clips.tracks["set"].tolist()
    np.testing.assert_allclose(np.linalg.norm(clips.factors, axis=1), 1, atol=1e-6)
    rows, targets = join_targets(clips.tracks, FACTORS, "unit")
    np.testing.assert_array_equal(rows, clips.rows)
    np.testing.assert_array_equal(targets, clips.factors)


def test_clips_without_a_factor_are_kept_on_demand(
    tracks: pd.DataFrame, split: pd.DataFrame
) -> None:
    known = choose_clips(tracks, split, "train", FACTORS, "raw")
    every = choose_clips(tracks, split, "train", FACTORS, "raw", keep_unknown=True)
    is_known = ~np.isnan(every.factors).any(1)
    assert len(known) == is_known.sum() < len(every)
    np.testing.assert_array_equal(every.factors[is_known], known.factors)
    assert not set(every.tracks["item_id"][~is_known]) & set(FACTORS.items)


def test_a_part_without_any_factor_is_refused(tracks: pd.DataFrame, split: pd.DataFrame) -> None:
    other = tracks.assign(item_id="unknown")
    with pytest.raises(NothingToTrain, match="'validation'"):
        choose_clips(other, split, "validation", FACTORS, "unit", keep_unknown=True)


def test_sets_weigh_alike_and_artists_by_the_root_of_their_clips() -> None:
    sizes = {("a", "x"): 9, ("a", "y"): 1, ("b", "x"): 4, ("b", "z"): 4}
    table = pd.DataFrame(
        [key for key, count in sizes.items() for _ in range(count)], columns=["set", "artist"]
    )
    clips = Clips(table.assign(row=range(len(table))), np.zeros((len(table), 2), np.float32))
    weights = pd.Series(clips.balanced_weights).groupby([table["set"], table["artist"]]).sum()
    assert weights.groupby("set").sum().tolist() == pytest.approx([1, 1])
    assert weights["a", "x"] == pytest.approx(3 * weights["a", "y"])  # the root of 9
    assert weights["b", "x"] == pytest.approx(weights["b", "z"])


def test_clips_of_held_out_and_unknown_artists_are_left_out_and_counted(
    split: pd.DataFrame,
) -> None:
    strangers = [f"stranger {number}" for number in range(50)]
    # Another spelling, artists that the split does not name, and no artist.
    artists = [f"The {artist.upper()}" for artist in ARTISTS] + strangers + ["", ""]
    kept, left_out = choose_unlabelled(make_tracks(artists, "more"), split, 6)
    heard = set(kept.tracks["artist"])
    part_of = dict(zip(split["artist"], split["part"], strict=True))
    for artist in map(artist_key, ARTISTS):
        assert (artist in heard) == (part_of[artist] == "train")
    for stranger in map(artist_key, strangers):
        assert (stranger in heard) == (deal_fold(stranger) != 1)
    assert "" not in heard
    assert left_out.n_kept == len(kept) == len(heard)
    assert left_out.held_out == left_out.n_artists == 90 - len(kept)
    assert left_out.unknown == 2
    assert str(left_out).startswith(f"{len(kept)} clips without factors; left out: ")
    assert kept.set_names == (UNLABELLED,)
    assert kept.factors.shape == (len(kept), 6)
    assert np.isnan(kept.factors).all()


def test_joined_clips_follow_one_another(tracks: pd.DataFrame, split: pd.DataFrame) -> None:
    first = choose_clips(tracks, split, "train", FACTORS, "unit")
    second, _ = choose_unlabelled(make_tracks(ARTISTS, "more", 500), split, 6)
    both = join_clips(first, second)
    assert both.rows.tolist() == [*first.rows, *second.rows]
    assert both.factors.shape == (len(both), 6)
    assert both.set_names == ("renderings", "recordings", UNLABELLED)
