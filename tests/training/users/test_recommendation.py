"""Recall and nDCG of held-out items against a plain reference; what is ranked, and by whom."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.users.crowds import make_logs
from training.users.held_out import HeldOutEntries, hold_out
from training.users.recommendation import KS, by_als, by_popularity, measure


@pytest.fixture(scope="module")
def entries() -> HeldOutEntries:
    return hold_out(make_logs().user_items, test_share=0.2, min_entries=5, seed=0)


def test_measures_are_those_of_a_plain_ranking(entries: HeldOutEntries) -> None:
    scores = np.random.default_rng(1).normal(size=entries.test.shape).astype(np.float32)
    found = measure(lambda rows: scores[rows], entries)
    for index, user in enumerate(entries.tested_users):
        ranked = [
            item for item in np.argsort(-scores[user]) if item not in entries.seen[user].indices
        ]
        relevant = set(entries.test[user].indices)
        for k in KS:
            gains = [1 / np.log2(place + 2) for place in range(k)]
            hits = [item in relevant for item in ranked[:k]]
            ideal = sum(gains[: min(k, len(relevant))])
            gained = sum(gain for gain, hit in zip(gains, hits, strict=False) if hit)
            assert found[f"recall_at_{k}"][index] == pytest.approx(sum(hits) / len(relevant))
            assert found[f"ndcg_at_{k}"][index] == pytest.approx(gained / ideal)


def test_ties_are_broken_at_random(entries: HeldOutEntries) -> None:
    def tied(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.zeros((len(rows), entries.test.shape[1]), np.float32)

    by_chance = measure(tied, entries)["recall_at_10"].mean()
    n_ranked = entries.test.shape[1] - np.diff(entries.seen.indptr).mean()
    assert by_chance == pytest.approx(10 / n_ranked, abs=0.08)


def test_als_beats_popularity_where_there_are_crowds(entries: HeldOutEntries) -> None:
    als, penalty = by_als(entries, dim=4, seed=0)
    assert penalty in (1.0, 10.0, 40.0, 100.0)
    found = {
        name: measure(score, entries)["recall_at_10"].mean()
        for name, score in (("als", als), ("popularity", by_popularity(entries)))
    }
    assert found["als"] > found["popularity"] + 0.05
