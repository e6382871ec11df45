"""Held-out entries of listening logs: for each user one item that validates, and some that test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class HeldOutEntries:
    """Listening logs in three parts, by entries: every user with enough items is in all of them.

    The logs state no time, so the held-out items are drawn at random: they need not have been
    played after the others.

    Attributes
    ----------
    training, test : CSR, shape (n_users, n_items)
    validation : (n_users,), item of each user; -1 where none is held out
    """

    training: sparse.csr_matrix
    validation: NDArray[np.int64]
    test: sparse.csr_matrix

    @property
    def tested_users(self) -> NDArray[np.int64]:
        """Rows of the users who have a test item."""
        return np.flatnonzero(np.diff(self.test.indptr))

    def for_validation(self) -> HeldOutEntries:
        """The same training entries, tested by the validation items."""
        nothing = np.full_like(self.validation, -1)
        return HeldOutEntries(self.training, nothing, self._validation_entries())

    @property
    def seen(self) -> sparse.csr_matrix:
        """Training and validation entries: what is not recommended in the test."""
        return (self.training + self._validation_entries()).tocsr()

    def _validation_entries(self) -> sparse.csr_matrix:
        users = np.flatnonzero(self.validation >= 0)
        entries = np.ones(len(users), np.float32), (users, self.validation[users])
        return sparse.csr_matrix(entries, self.training.shape)


def hold_out(
    user_items: sparse.csr_matrix, *, test_share: float, min_entries: int, seed: int
) -> HeldOutEntries:
    """Draw the held-out entries of each user who has `min_entries` or more.

    Parameters
    ----------
    user_items : CSR, shape (n_users, n_items)
    test_share : of a user's entries, rounded up; 0 for no test
    """
    n_entries = np.diff(user_items.indptr)
    user = np.repeat(np.arange(len(n_entries)), n_entries)
    order = np.lexsort((np.random.default_rng(seed).random(len(user)), user))
    place = np.empty(len(user), np.int64)  # of an entry among its user's, in a random order
    place[order] = np.arange(len(user)) - user_items.indptr[user[order]]
    # At most all but two: one validates, and one is the history.
    n_test = np.minimum(np.ceil(test_share * n_entries).astype(np.int64), n_entries - 2)
    has_held_out = n_entries >= min_entries
    is_test = has_held_out[user] & (place < n_test[user])
    is_validation = has_held_out[user] & (place == n_test[user])
    validation = np.full(len(n_entries), -1, np.int64)
    validation[user[is_validation]] = user_items.indices[is_validation]

    def entries(mask: NDArray[np.bool_]) -> sparse.csr_matrix:
        found = user_items.data[mask], (user[mask], user_items.indices[mask])
        return sparse.csr_matrix(found, user_items.shape)

    return HeldOutEntries(entries(~is_test & ~is_validation), validation, entries(is_test))


def pad_histories(user_items: sparse.csr_matrix, max_history: int, seed: int) -> NDArray[np.int64]:
    """Items of each user as rows of one length, padded with n_items: (n_users, H).

    Of a user with more than `max_history` items, so many are drawn.
    """
    n_users, n_items = user_items.shape
    rng = np.random.default_rng(seed)
    length = int(min(max_history, max(1, np.diff(user_items.indptr).max(initial=1))))
    histories = np.full((n_users, length), n_items, np.int64)
    for user in range(n_users):
        items = user_items.indices[user_items.indptr[user] : user_items.indptr[user + 1]]
        if len(items) > length:
            items = rng.choice(items, length, replace=False)
        histories[user, : len(items)] = items
    return histories
