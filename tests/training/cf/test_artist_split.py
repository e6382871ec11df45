"""No artist is in two parts, in any fold."""

from __future__ import annotations

import pandas as pd

from training.cf.artist_split import items_of, split_by_artist

TRACKS = pd.DataFrame(
    {
        "track_id": [f"t{number}" for number in range(300)],
        "item_id": [f"i{number // 2}" for number in range(300)],
        "artist": [f"a{number // 6}" for number in range(300)],
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
    assert sum(map(len, tests)) == len(set().union(*tests)) == 150


def test_the_split_is_seeded_and_needs_no_order() -> None:
    first = split_by_artist(TRACKS)
    shuffled = split_by_artist(TRACKS.sample(frac=1, random_state=0)).sort_index()
    pd.testing.assert_frame_equal(first, shuffled)
    assert not first.equals(split_by_artist(TRACKS, seed=1))
