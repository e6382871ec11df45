"""A penalty per entry solves what its definition says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from tests.training.cf.planted import plant
from training.cf.als import factorize
from training.cf.engines import fit_factors
from training.cf.models import fit_model
from training.cf.settings import AlsSettings, Engine
from training.errors import BadEngine

SETTINGS = AlsSettings(
    factors=6, iterations=60, regularization=0.3, weighted_regularization=True, alpha=8.0
)


def solve(
    rows: sparse.csr_matrix, others: NDArray[np.float32], penalty: float
) -> NDArray[np.float64]:
    """Least squares of each row by the definition: Hu et al. 2008, with n times the penalty."""
    found = np.zeros((rows.shape[0], others.shape[1]))
    vectors = others.astype(np.float64)
    for number, row in enumerate(rows.toarray()):
        confidence = np.where(row > 0, SETTINGS.alpha * row, 1.0)
        left = (vectors.T * confidence) @ vectors + penalty * (row > 0).sum() * np.eye(
            len(vectors.T)
        )
        found[number] = np.linalg.solve(left, vectors.T @ (confidence * (row > 0)))
    return found


def test_converged_factors_solve_the_weighted_least_squares() -> None:
    entries = plant().user_items
    model = fit_model(entries, SETTINGS)
    expected = solve(entries.T.tocsr(), model.user_factors, 0.3)
    np.testing.assert_allclose(model.item_factors, expected, atol=2e-3)
    assert np.abs(model.item_factors).max() > 0.5
    constant = fit_model(entries, replace(SETTINGS, weighted_regularization=False))
    assert np.abs(constant.item_factors - expected).max() > 0.1


def test_an_item_without_entries_has_no_factor_and_one_folded_in_is_solved_exactly() -> None:
    entries = plant().user_items.tolil()
    entries[:, 5] = 0
    entries = entries.tocsr()
    model = fit_model(entries, SETTINGS)
    assert not model.item_factors[5].any()
    new_item = plant().user_items[:, [5]].T.tocsr()
    folded_in = model.recalculate_item(np.array([0]), new_item)
    np.testing.assert_allclose(folded_in, solve(new_item, model.user_factors, 0.3), atol=1e-4)


def test_a_factorization_of_weighted_penalties_folds_in_by_them() -> None:
    logs = plant()
    result = factorize(logs, SETTINGS, check=False)
    folded_in = result.fold_in(logs.user_items.T.tocsr())
    np.testing.assert_allclose(folded_in, result.item_factors, atol=5e-3)


def test_the_gpu_is_refused_where_there_is_none_or_the_penalty_is_weighted() -> None:
    implicit_gpu = pytest.importorskip("implicit.gpu")
    entries = plant().user_items
    with pytest.raises(BadEngine, match=r"--engine implicit-gpu has a constant penalty alone"):
        fit_factors(entries, SETTINGS, Engine.IMPLICIT_GPU)
    if not implicit_gpu.HAS_CUDA:
        settings = replace(SETTINGS, weighted_regularization=False)
        with pytest.raises(BadEngine, match=r"finds no CUDA device.*choose --engine implicit"):
            fit_factors(entries, settings, Engine.IMPLICIT_GPU)
