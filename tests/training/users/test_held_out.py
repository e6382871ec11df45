"""Held-out entries: one validates, some test, the rest is history; drawn by the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tests.training.users.crowds import make_logs
from training.users.held_out import hold_out, pad_histories


def random_logs(n_users: int, n_items: int, density: float, seed: int) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    return sparse.csr_matrix((rng.random((n_users, n_items)) < density).astype(np.float32))


@settings(max_examples=50, deadline=None)
@given(
    density=st.floats(0.05, 1),
    test_share=st.floats(0, 0.9),
    min_entries=st.integers(3, 8),
    seed=st.integers(0, 99),
)
def test_parts_are_disjoint_and_make_up_the_logs(
    density: float, test_share: float, min_entries: int, seed: int
) -> None:
    logs = random_logs(12, 15, density, seed)
    parts = hold_out(logs, test_share=test_share, min_entries=min_entries, seed=seed)
    validation = parts.for_validation().test
    together = parts.training + validation + parts.test
    assert (together != logs).nnz == 0
    assert together.max() == 1
    enough = np.diff(logs.indptr) >= min_entries
    assert np.array_equal(parts.validation >= 0, enough)
    assert (np.diff(parts.training.indptr)[enough] >= 1).all()
    assert not np.diff(parts.test.indptr)[~enough].any()
    assert len(parts.tested_users) == (enough.sum() if test_share else 0)


def test_the_share_of_a_users_items_is_rounded_up() -> None:
    logs = sparse.csr_matrix(np.ones((1, 11), np.float32))
    parts = hold_out(logs, test_share=0.2, min_entries=5, seed=0)
    assert (parts.test.nnz, parts.training.nnz) == (3, 7)
    assert (parts.seen != logs - parts.test).nnz == 0


def test_the_seed_draws_the_held_out_items() -> None:
    logs = make_logs().user_items
    first, again, other = (
        hold_out(logs, test_share=0.2, min_entries=5, seed=seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.validation, again.validation)
    assert (first.test != again.test).nnz == 0
    assert (first.test != other.test).nnz > 0


@pytest.mark.parametrize("max_history", [2, 50])
def test_histories_are_the_items_of_each_user_padded(max_history: int) -> None:
    logs = random_logs(6, 9, 0.5, 3)
    logs[2] = 0
    logs.eliminate_zeros()
    histories = pad_histories(logs, max_history, seed=0)
    for user, history in enumerate(histories):
        known = set(history[history < 9])
        items = set(logs[user].indices)
        assert len(history[history < 9]) == len(known) == min(max_history, len(items))
        assert known <= items
