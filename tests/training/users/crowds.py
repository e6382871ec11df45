"""Logs of crowds, which hear other items each; all of them know some items that everyone hears."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from training.cf.logs import Logs

N_CROWDS, CROWD_USERS, CROWD_ITEMS, N_SHARED = 4, 25, 16, 6
N_USERS, N_ITEMS = N_CROWDS * CROWD_USERS, N_CROWDS * CROWD_ITEMS + N_SHARED
# Whether an item is of a user's crowd, shape (N_USERS, N_ITEMS); shared items are of none.
IS_OWN: NDArray[np.bool_] = np.hstack(
    [
        np.kron(np.eye(N_CROWDS), np.ones((CROWD_USERS, CROWD_ITEMS))) > 0,
        np.zeros((N_USERS, N_SHARED), bool),
    ]
)


def make_logs() -> Logs:
    """A user hears half of the crowd's items, and most of the shared ones, which are the last."""
    rng = np.random.default_rng(0)
    chance = np.where(IS_OWN, 0.5, 0.0)
    chance[:, -N_SHARED:] = 0.8
    entries = sparse.csr_matrix((rng.random((N_USERS, N_ITEMS)) < chance).astype(np.float32))
    users = pd.Index([f"u{number:03}" for number in range(N_USERS)])
    items = pd.Index([f"i{number:02}" for number in range(N_ITEMS)])
    return Logs(entries, users, items, {"rows_read": entries.nnz})


def to_table(logs: Logs) -> pd.DataFrame:
    """One row per user and item."""
    entries = logs.user_items.tocoo()
    return pd.DataFrame(
        {"user_id": logs.users[entries.row], "item_id": logs.items[entries.col]}
    ).reset_index(drop=True)
