"""A recording's partner: its cosine, and its rank among all renderings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.evaluation.methods import Method
from training.evaluation.pairs import (
    PairScores,
    match_pairs,
    partner_measures,
    score_pairs,
    summarize_pairs,
)

N_PAIRS, DIM = 200, 12


def test_ranks_of_a_small_example() -> None:
    recordings = np.array([[1, 0], [0, 1], [-1, -1]], np.float32)
    renderings = np.array([[2, 0], [0, 2], [-2, -2]], np.float32)[[1, 0, 2]]
    measures = partner_measures(recordings, renderings)
    assert measures["cosine"] == pytest.approx([0, 0, 1])
    # The partner of the first is nearer than one of the two others, that of the last than both.
    assert measures["percentile"] == pytest.approx([0.5, 0.5, 1])
    assert measures["first"].tolist() == [0, 0, 1]


def test_partners_that_are_unrelated_are_ranked_by_chance() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, N_PAIRS, DIM)).astype(np.float32) + 3
    measures = partner_measures(*vectors)
    assert measures["percentile"].mean() == pytest.approx(0.5, abs=0.06)
    assert measures["first"].mean() < 0.04
    assert measures["cosine"].mean() > 0.8  # a common mean looks like agreement
    assert abs(measures["centred_cosine"].mean()) < 0.06


def test_a_difference_that_all_pairs_share_does_not_hide_the_partner() -> None:
    rng = np.random.default_rng(0)
    songs = rng.normal(size=(N_PAIRS, DIM)).astype(np.float32)
    moved = songs + 20 + 0.3 * rng.normal(size=songs.shape).astype(np.float32)
    measures = partner_measures(songs, moved)
    assert measures["cosine"].mean() < 0.2
    assert measures["centred_cosine"].mean() > 0.9
    assert measures["first"].mean() > 0.95


def test_equal_renderings_are_half_less_near() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, DIM)).astype(np.float32)
    measures = partner_measures(vectors, np.ones_like(vectors))
    assert measures["percentile"] == pytest.approx([0.5] * 5)
    assert measures["first"].tolist() == [0] * 5


def test_pairs_are_matched_by_track_id() -> None:
    recordings = pd.DataFrame({"track_id": ["a", "b", "c", "d"]})
    renderings = pd.DataFrame({"track_id": ["x", "d", "b", "d"]})
    first, second = match_pairs(recordings, renderings)
    assert first.tolist() == [1, 3]
    assert second.tolist() == [2, 1]


def test_folds_are_pooled_and_intervals_are_over_artists(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folds = []
    for fold in range(2):
        songs = rng.normal(size=(30, DIM)).astype(np.float32)
        rendered = songs + rng.normal(size=songs.shape).astype(np.float32)
        artists = np.array([f"{fold}-{number // 3}" for number in range(30)])
        first, second = ({"network": Method(vectors)} for vectors in (songs, rendered))
        score_pairs(first, second, artists).save(tmp_path / f"{fold}.npz")
        folds.append(PairScores.load(tmp_path / f"{fold}.npz"))
    pooled = summarize_pairs(folds)
    assert (pooled["n_pairs"], pooled["n_artists"]) == (60, 20)
    row = pooled["methods"]["network"]
    for measure in ("cosine", "centred_cosine", "percentile", "first"):
        mean, low, high = row[measure]
        expected = np.mean([fold.by_pair["network"][measure].mean() for fold in folds])
        assert mean == pytest.approx(expected)
        assert low < mean < high
