"""Triplets of a concept: what is positive and negative, in which part, for any table of clips."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.objectives.clips import make_table
from training.datasets.artist_key import artist_key
from training.errors import NoAnchors, TooFewNegatives
from training.objectives.clips import TEST, TRAIN, VALIDATION, divide_clips, limit_artists
from training.similarity.concepts import ConceptDraws, draw_concepts
from training.similarity.holdout import draw_tests
from training.similarity.settings import CONCEPTS

PARTS = (TRAIN, VALIDATION, TEST)
NEGATIVES, N_ARTISTS = 3, 7
# Artist, album and title of each clip; -1 is unknown.
clip_numbers = st.tuples(st.integers(0, N_ARTISTS - 1), st.integers(-1, 2), st.integers(-1, 9))
tables = st.lists(clip_numbers, min_size=24, max_size=60).map(
    lambda clips: make_table(*(list(numbers) for numbers in zip(*clips, strict=True)))
)
divisions = st.lists(st.sampled_from(PARTS), min_size=N_ARTISTS, max_size=N_ARTISTS)


def draw_all(clips: pd.DataFrame, concept: str, part: str, *, by_song: bool) -> list[pd.DataFrame]:
    """The clips of each group of an epoch: anchor, positive, negatives."""
    try:
        draws = ConceptDraws(concept, clips, part, NEGATIVES, by_song=by_song)
    except (NoAnchors, TooFewNegatives):
        return []
    rng = np.random.default_rng(0)
    return [clips.iloc[draws.draw_clips(index, rng)] for index in range(len(draws))]


@settings(max_examples=60, deadline=None)
@given(table=tables, concept=st.sampled_from(CONCEPTS), part=st.sampled_from(PARTS))
def test_a_positive_shares_the_concept_and_no_negative_does(
    table: pd.DataFrame, concept: str, part: str
) -> None:
    clips, _ = divide_clips(table, None, by_song=True)
    for group in draw_all(clips, concept, part, by_song=True):
        anchor, positive, negatives = group.iloc[0], group.iloc[1], group.iloc[2:]
        assert negatives["track_id"].is_unique
        assert anchor["track_id"] not in set(negatives["track_id"])
        assert anchor["song"] not in set(negatives["song"])
        if concept == "track":
            assert positive["track_id"] == anchor["track_id"]
            continue
        assert positive["song"] != anchor["song"]
        assert positive[concept] == anchor[concept] != ""
        assert anchor[concept] not in set(negatives[concept])
        if concept == "album":  # a clip of an unknown album may be of the anchor's, by its artist
            unknown = negatives[negatives["album"] == ""]
            assert anchor["artist"] not in set(unknown["artist"])


@settings(max_examples=60, deadline=None)
@given(table=tables, concept=st.sampled_from(CONCEPTS), part=st.sampled_from(PARTS))
def test_songs_of_a_held_out_part_are_compared_with_the_part_before(
    table: pd.DataFrame, concept: str, part: str
) -> None:
    clips, _ = divide_clips(table, None, by_song=True)
    positives = {TRAIN: TRAIN, VALIDATION: TRAIN, TEST: VALIDATION}[part]
    for group in draw_all(clips, concept, part, by_song=True):
        parts = list(group["part"])
        assert {parts[0], *parts[2:]} == {part}
        assert parts[1] == (positives if concept != "track" else part)


def split_artists(table: pd.DataFrame, parts: list[str]) -> pd.DataFrame:
    """A split file's table: the part of each artist by number."""
    part = table["item_id"].astype(int).map(lambda artist: parts[artist])
    return table[["track_id", "item_id"]].assign(artist=table["artist"].map(artist_key), part=part)


@settings(max_examples=60, deadline=None)
@given(table=tables, concept=st.sampled_from(CONCEPTS), parts=divisions)
def test_divided_artists_are_on_one_side_each(
    table: pd.DataFrame, concept: str, parts: list[str]
) -> None:
    clips, left_out = divide_clips(table, split_artists(table, parts), by_song=False)
    assert left_out.n_kept == len(table)
    sides = [set(clips.loc[clips["part"] == part, "artist"]) for part in PARTS]
    assert not any(one & other for one, other in pairwise([*sides, sides[0]]))
    for part in PARTS:
        for group in draw_all(clips, concept, part, by_song=False):
            assert set(group["part"]) == {part}


@settings(max_examples=30, deadline=None)
@given(table=tables, parts=divisions)
def test_divided_songs_leave_out_the_artists_that_a_split_holds_out(
    table: pd.DataFrame, parts: list[str]
) -> None:
    split = split_artists(table, parts)
    clips, left_out = divide_clips(table, split, by_song=True)
    held_out = set(split.loc[split["part"] == TEST, "artist"])
    assert not held_out & set(clips["artist"])
    assert left_out.n_kept + left_out.held_out == len(table)
    assert left_out.held_out == (split["part"] == TEST).sum()


def test_a_tenth_of_an_artists_songs_is_held_out_in_each_part() -> None:
    clips, _ = divide_clips(make_table([0] * 2 + [1] * 3 + [2] * 20), None, by_song=True)
    counts = clips.groupby(["artist", "part"]).size().unstack(fill_value=0)
    assert counts.loc["artist0"].to_dict() == {TRAIN: 2, VALIDATION: 0, TEST: 0}
    assert counts.loc["artist1"].to_dict() == {TRAIN: 1, VALIDATION: 1, TEST: 1}
    assert counts.loc["artist2"].to_dict() == {TRAIN: 16, VALIDATION: 2, TEST: 2}


def test_the_songs_of_an_artist_are_divided_alike_whoever_else_is_there() -> None:
    table = make_table([0] * 9 + [1] * 9)
    both, _ = divide_clips(table, None, by_song=True)
    alone, _ = divide_clips(table[:9], None, by_song=True)
    assert list(both["part"][:9]) == list(alone["part"])


@settings(max_examples=60, deadline=None)
@given(table=tables)
def test_a_song_that_is_there_twice_is_on_one_side(table: pd.DataFrame) -> None:
    clips, left_out = divide_clips(table, None, by_song=True)
    assert (clips.groupby("song")["part"].nunique() == 1).all()
    named = table[table["title"] != ""]
    n_songs = len(named.drop_duplicates(["artist", "title"])) + (table["title"] == "").sum()
    assert left_out.n_songs == clips["song"].nunique() == n_songs


def test_songs_are_counted_where_some_are_there_twice() -> None:
    """Of one artist with the spelling of a title; songs of one name are of their artists."""
    table = make_table([0, 0, 0, 1], None, [1, 1, 2, 1])
    table.loc[1, "title"] = " the TITLE (1)"
    clips, left_out = divide_clips(table, None, by_song=True)
    assert str(left_out).startswith("4 clips of 3 songs; left out: 0 without an artist")
    assert (clips["part"] == TRAIN).all()  # two songs of an artist: none is held out


def test_clips_without_titles_are_songs_of_their_own() -> None:
    table = make_table([0] * 3).drop(columns="title")
    clips, _ = divide_clips(table, None, by_song=True)
    assert clips["song"].nunique() == 3


def test_negatives_of_an_album_can_be_by_its_artist() -> None:
    """Artist 0 has two albums, artist 1 has one: it has no such test."""
    table = make_table([0] * 12 + [1] * 12, [0] * 6 + [1] * 6 + [2] * 12)
    clips, _ = divide_clips(table, None, by_song=True)
    clips["part"] = [TRAIN, VALIDATION, TEST] * 8
    draws = ConceptDraws("album", clips, TEST, 1, by_song=True, within_artist=True)
    assert set(clips["artist"].iloc[draws.anchors]) == {"artist0"}
    parts = set()
    for index in range(len(draws)):
        for seed in range(20):
            rng = np.random.default_rng(seed)
            anchor, positive, negative = (clips.iloc[k] for k in draws.draw_clips(index, rng))
            assert anchor["album"] == positive["album"] != negative["album"]
            assert anchor["artist"] == negative["artist"]
            parts.add(negative["part"])
    assert parts == {TEST, VALIDATION}


def test_albums_of_artists_with_one_album_have_no_negatives_by_their_artist() -> None:
    table = make_table([0] * 6 + [1] * 6, [0] * 6 + [1] * 6)
    clips, _ = divide_clips(table, None, by_song=True)
    clips["part"] = TRAIN
    with pytest.raises(NoAnchors):
        ConceptDraws("album", clips, TRAIN, 1, by_song=True, within_artist=True)


def test_albums_of_one_name_are_of_their_artists() -> None:
    clips, _ = divide_clips(make_table([0, 0, 1], [5, 5, 5]), None, by_song=True)
    assert clips["album"].nunique() == 2


def test_clips_without_an_artist_or_a_part_are_left_out_and_counted() -> None:
    table = make_table([0, 0, 1, 1, 2, 2])
    table.loc[0, "artist"] = ""
    split = split_artists(table[:5], [TRAIN, VALIDATION, TEST])
    clips, left_out = divide_clips(table, split, by_song=False)
    assert (left_out.unknown, left_out.unsplit, len(clips)) == (1, 1, 4)
    assert "1 without an artist, 1 that the split does not name" in str(left_out)


def test_negatives_are_uniform_over_the_clips_of_others() -> None:
    clips, _ = divide_clips(make_table([0] * 2 + [1] * 2 + [2] * 6), None, by_song=True)
    clips["part"] = TRAIN
    draws = ConceptDraws("artist", clips, TRAIN, 1, by_song=True)
    drawn = [draws.draw_clips(0, np.random.default_rng(seed))[2] for seed in range(4000)]
    shares = np.bincount(drawn, minlength=10)[2:] / len(drawn)
    np.testing.assert_allclose(shares, 1 / 8, atol=0.02)


def test_every_mate_is_drawn() -> None:
    clips, _ = divide_clips(make_table([0] * 4 + [1] * 4), None, by_song=True)
    clips["part"] = TRAIN
    draws = ConceptDraws("artist", clips, TRAIN, 2, by_song=True)
    drawn = {draws.draw_clips(0, np.random.default_rng(seed))[1] for seed in range(60)}
    assert drawn == {1, 2, 3}


def test_fewer_artists_are_among_those_of_a_larger_number() -> None:
    clips, _ = divide_clips(
        make_table([artist for artist in range(9) for _ in range(5)] + [9, 10]), None, by_song=True
    )
    kept = [limit_artists(clips, number) for number in (2, 5)]
    artists = [set(table.loc[table["part"] == TRAIN, "artist"]) for table in kept]
    assert [len(names) for names in artists] == [2, 5]
    assert artists[0] < artists[1]
    for table in kept:  # what is held out stays
        assert (table["part"] == TEST).sum() == (clips["part"] == TEST).sum()
    assert limit_artists(clips, 0) is clips
    pd.testing.assert_frame_equal(limit_artists(clips, 11), clips)  # of a single clip, two


def test_concepts_without_anchors_or_negatives_are_refused() -> None:
    clips, _ = divide_clips(make_table([0] * 5 + [1] * 5), None, by_song=True)
    with pytest.raises(NoAnchors, match=r"none of the 6 clips .* another clip of its album"):
        ConceptDraws("album", clips, TRAIN, 2, by_song=True)
    with pytest.raises(TooFewNegatives, match=r"1 clips of another artist .* --negatives is 2"):
        ConceptDraws("artist", clips, TEST, 2, by_song=True)
    assert len(ConceptDraws("artist", clips, TEST, 1, by_song=True)) == 2
    assert list(draw_tests(clips, 1, by_song=True)) == ["artist", "track"]


def test_joint_groups_are_of_each_concept_in_a_row() -> None:
    table = make_table([0] * 6 + [1] * 6, [0, 0, 0, 1, 1, 1] * 2)
    clips, _ = divide_clips(table, None, by_song=True)
    draws = draw_concepts(CONCEPTS, clips, TRAIN, 2, by_song=True)
    assert draws.group_size == 12
    rows = draws.draw(0, np.random.default_rng(0)).rows
    by_row = clips.set_index("row")
    for concept, group in zip(CONCEPTS, np.split(rows, 3), strict=True):
        anchor, positive, *others = (by_row.loc[row] for row in group)
        if concept == "track":
            assert group[0] == group[1]
            assert group[0] not in group[2:]
        else:
            assert anchor[concept] == positive[concept]
            assert anchor[concept] not in [other[concept] for other in others]
