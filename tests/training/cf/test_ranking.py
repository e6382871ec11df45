"""Held-out entries are ranked as the definitions of the measures say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from implicit.evaluation import ranking_metrics_at_k

from tests.training.cf.planted import plant
from training.cf import ranking
from training.cf.models import fit_model
from training.cf.ranking import hold_out, measure_hits, rank_held_out
from training.cf.settings import AlsSettings

SETTINGS = AlsSettings(factors=6, iterations=5)


def test_measures_are_those_of_implicit_where_all_users_are_ranked() -> None:
    training, held_out = hold_out(plant(), seed=0)
    model = fit_model(training, SETTINGS)
    theirs = ranking_metrics_at_k(model, training, held_out, K=10, show_progress=False)
    ours = rank_held_out(model, training, held_out, [10], seed=0)
    assert ours["ndcg_at_10"] == pytest.approx(theirs["ndcg"], rel=1e-6)
    assert ours["precision_at_10"] == pytest.approx(theirs["precision"], rel=1e-6)


def test_a_sample_of_many_users_is_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    training, held_out = hold_out(plant(), seed=0)
    model = fit_model(training, SETTINGS)
    of_all = rank_held_out(model, training, held_out, [10], seed=0)
    monkeypatch.setattr(ranking, "MAX_USERS", 120)
    monkeypatch.setattr(ranking, "BATCH_SIZE", 50)
    of_sample = rank_held_out(model, training, held_out, [10], seed=0)
    assert of_sample["ndcg_at_10"] == pytest.approx(of_all["ndcg_at_10"], abs=0.05)
    assert of_sample != of_all


def test_measures_of_known_hits() -> None:
    hits = np.array([[True, False, True], [False, False, False]])
    found = measure_hits(hits, np.array([2, 5]), [1, 3])
    assert found["recall_at_1"].tolist() == [0.5, 0]
    assert found["recall_at_3"].tolist() == [1, 0]
    assert found["ndcg_at_1"].tolist() == [1, 0]
    assert found["ndcg_at_3"][0] == pytest.approx((1 + 0.5) / (1 + 1 / np.log2(3)))


def test_entries_after_a_time_are_held_out() -> None:
    logs = plant()
    earlier = logs.user_items.copy()
    earlier.data = np.where(np.arange(earlier.nnz) % 3 == 0, 0, 1).astype(np.float32)
    earlier.eliminate_zeros()
    training, held_out = hold_out(replace(logs, earlier=earlier), seed=0)
    assert (training != earlier).nnz == 0
    assert held_out.nnz == logs.user_items.nnz - earlier.nnz
    assert ((training + held_out) != logs.user_items).nnz == 0
