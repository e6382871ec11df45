"""Factors are deterministic, saved with their ids, and recover a known structure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from threadpoolctl import threadpool_limits

from training.cf.als import Factorization, factorize
from training.cf.logs import Logs
from training.cf.models import new_model
from training.cf.settings import AlsSettings
from training.errors import MissingInput, MixedFactors

SETTINGS = AlsSettings(factors=8, iterations=10)


@pytest.fixture(scope="module")
def logs() -> Logs:
    """Two crowds: users 0-29 hear items 0-19, users 30-59 hear items 20-39."""
    rng = np.random.default_rng(0)
    same = np.kron(np.eye(2), np.ones((30, 20)))
    entries = sparse.csr_matrix((rng.random((60, 40)) < 0.5 * same).astype(np.float32))
    names = [f"id-{number}" for number in range(60)]
    return Logs(entries, pd.Index(names), pd.Index(names[:40]), {"rows_read": entries.nnz})


def test_the_same_seed_gives_the_same_factors(logs: Logs) -> None:
    first, again = factorize(logs, SETTINGS, check=False), factorize(logs, SETTINGS, check=False)
    np.testing.assert_array_equal(first.item_factors, again.item_factors)
    other = factorize(logs, AlsSettings(factors=8, iterations=10, seed=1), check=False)
    assert not np.array_equal(first.item_factors, other.item_factors)


def test_users_score_their_own_crowd_higher(logs: Logs) -> None:
    result = factorize(logs, SETTINGS)
    scores = result.user_factors @ result.item_factors.T
    assert scores[:30, :20].mean() > 5 * abs(scores[:30, 20:].mean())
    assert result.report["held_out_ndcg_at_10"] > 0.3


def test_what_is_saved_is_what_is_loaded(logs: Logs, tmp_path: Path) -> None:
    result = factorize(logs, SETTINGS, check=False)
    result.save(tmp_path)
    loaded = Factorization.load(tmp_path)
    np.testing.assert_array_equal(loaded.user_factors, result.user_factors)
    assert loaded.items.equals(result.items)
    assert loaded.settings == SETTINGS


def test_the_space_is_a_digest_of_ids_and_factors(logs: Logs) -> None:
    first, again = factorize(logs, SETTINGS, check=False), factorize(logs, SETTINGS, check=False)
    assert len(bytes.fromhex(first.space)) == 32
    assert first.space == again.space
    others = [
        factorize(logs, replace(SETTINGS, seed=1), check=False),
        factorize(logs, replace(SETTINGS, regularization=30.0), check=False),
        replace(first, items=first.items[::-1]),
        replace(first, item_factors=first.item_factors[::-1]),
        replace(first, user_factors=2 * first.user_factors),
    ]
    assert len({first.space, *(other.space for other in others)}) == 1 + len(others)


def test_a_folder_records_its_space_and_an_older_one_has_it_too(logs: Logs, tmp_path: Path) -> None:
    result = factorize(logs, SETTINGS, check=False)
    result.save(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report.pop("space") == result.space
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert Factorization.load(tmp_path).space == result.space


@pytest.mark.parametrize("name", ["item_factors.npy", "user_factors.npy", "items.csv"])
def test_files_of_another_factorisation_are_refused(logs: Logs, tmp_path: Path, name: str) -> None:
    result = factorize(logs, SETTINGS, check=False)
    other = replace(factorize(logs, replace(SETTINGS, seed=1), check=False), items=logs.items[::-1])
    result.save(tmp_path / "factors")
    other.save(tmp_path / "other")
    (tmp_path / "other" / name).rename(tmp_path / "factors" / name)
    with pytest.raises(MixedFactors, match=f"factors is of the CF space {result.space[:12]}, and"):
        Factorization.load(tmp_path / "factors")


def test_an_empty_folder_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="tasteprint-train factorize"):
        Factorization.load(tmp_path)


def test_scores_are_those_of_implicit_and_users_are_white(logs: Logs) -> None:
    result = factorize(logs, SETTINGS, check=False)
    with threadpool_limits(1, "blas"):
        model = new_model(SETTINGS)
        model.fit(logs.user_items, show_progress=False)
    scores = model.user_factors @ model.item_factors.T
    np.testing.assert_allclose(result.user_factors @ result.item_factors.T, scores, atol=1e-4)
    np.testing.assert_allclose(np.cov(result.user_factors.T), np.eye(8), atol=1e-3)


def test_cosine_of_items_is_the_correlation_of_their_scores(logs: Logs) -> None:
    result = factorize(logs, SETTINGS, check=False)
    scores = result.user_factors @ result.item_factors.T
    unit = result.item_factors / np.linalg.norm(result.item_factors, axis=1, keepdims=True)
    np.testing.assert_allclose(unit @ unit.T, np.corrcoef(scores.T), atol=1e-3)


def test_an_item_folded_in_from_its_listeners_is_as_it_was_factorised(
    logs: Logs, tmp_path: Path
) -> None:
    converged = factorize(logs, replace(SETTINGS, iterations=200), check=False)
    converged.save(tmp_path)
    for result in (converged, Factorization.load(tmp_path)):
        folded_in = result.fold_in(logs.user_items.T.tocsr())
        lengths = np.linalg.norm(folded_in, axis=1) * np.linalg.norm(result.item_factors, axis=1)
        cosine = (folded_in * result.item_factors).sum(1) / lengths
        assert cosine.min() > 0.99


def test_emptied_dimensions_do_no_harm(logs: Logs) -> None:
    result = factorize(logs, replace(SETTINGS, regularization=60.0), check=False)
    usual = factorize(logs, SETTINGS, check=False)
    assert result.report["effective_dimensions"] < usual.report["effective_dimensions"] <= 8
    assert np.isfinite(result.item_factors).all()
    assert np.isfinite(result.user_factors).all()
