"""Logs with a planted structure: groups of users who hear groups of items, and some at random."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from training.cf.logs import Logs

N_GROUPS = 6


def plant(n_users: int = 240, n_items: int = 120, seed: int = 0) -> Logs:
    """Users hear 40 % of the items of their group, and 3 % of all others."""
    rng = np.random.default_rng(seed)
    of_user, of_item = np.arange(n_users) % N_GROUPS, np.arange(n_items) % N_GROUPS
    chances = np.where(of_user[:, None] == of_item, 0.4, 0.03)
    entries = sparse.csr_matrix((rng.random(chances.shape) < chances).astype(np.float32))
    users = pd.Index([f"u{number}" for number in range(n_users)])
    items = pd.Index([f"i{number}" for number in range(n_items)])
    return Logs(entries, users, items, {"rows_read": entries.nnz})
