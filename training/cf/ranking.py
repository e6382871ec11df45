"""Ranking of held-out entries: recall@k and nDCG@k over users, at any size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.evaluation import train_test_split
from numpy.typing import NDArray
from scipy import sparse

from training.cf.logs import Logs

TRAINING_SHARE = 0.8
# All items are scored for each of these users: of a million users, all would take days.
MAX_USERS = 10_000
BATCH_SIZE = 1024
Values = NDArray[np.float64]


def hold_out(logs: Logs, seed: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Entries to fit on and entries held out, shape (n_users, n_items) each.

    Where the logs were read with times, held out are the entries that are not in the earlier rows;
    else a fifth of the entries by chance.
    """
    if logs.earlier is None:
        training, held_out = train_test_split(logs.user_items, TRAINING_SHARE, random_state=seed)
        return training, held_out
    known = logs.earlier.astype(bool).astype(np.float32)
    return logs.earlier, (logs.user_items - logs.user_items.multiply(known)).tocsr()


def rank_held_out(
    model: AlternatingLeastSquares,
    training: sparse.csr_matrix,
    held_out: sparse.csr_matrix,
    ks: Sequence[int],
    seed: int,
) -> dict[str, float]:
    """Means over users of `measure_hits`, and precision@k; empty where no user has some.

    All items are ranked but those of the user's training entries. Held-out items that nobody has in
    the training part cannot be ranked, and count as misses.
    """
    held_out.eliminate_zeros()
    users = np.flatnonzero((np.diff(held_out.indptr) > 0) & (np.diff(training.indptr) > 0))
    if len(users) > MAX_USERS:
        users = np.sort(np.random.default_rng(seed).choice(users, MAX_USERS, replace=False))
    if not len(users):
        return {}
    n_top = min(max(ks), held_out.shape[1])
    hits = np.concatenate(
        [
            _find_hits(model, training[rows], held_out[rows], rows, n_top)
            for rows in np.split(users, range(BATCH_SIZE, len(users), BATCH_SIZE))
        ]
    )
    n_relevant = np.diff(held_out.indptr)[users]
    found = {
        name: float(values.mean()) for name, values in measure_hits(hits, n_relevant, ks).items()
    }
    for k in ks:
        found[f"precision_at_{k}"] = float(hits[:, :k].sum() / np.minimum(n_relevant, k).sum())
    return found


def measure_hits(
    hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], ks: Sequence[int]
) -> dict[str, Values]:
    """Recall@k and nDCG@k of each user.

    Parameters
    ----------
    hits : whether a ranked item is a held-out one, best first, shape (n_users, n_top)
    n_relevant : number of held-out items of each user
    """
    discount = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(discount)
    found: dict[str, Values] = {}
    for k in ks:
        top, gains = hits[:, :k], discount[:k]
        n_ideal = np.minimum(n_relevant, len(gains))
        found[f"recall_at_{k}"] = top.sum(1) / n_relevant
        found[f"ndcg_at_{k}"] = (top * gains).sum(1) / ideal[n_ideal - 1]
    return found


def _find_hits(
    model: AlternatingLeastSquares,
    training: sparse.csr_matrix,
    held_out: sparse.csr_matrix,
    users: NDArray[np.int64],
    n_top: int,
) -> NDArray[np.bool_]:
    items, _ = model.recommend(users, training, N=n_top, filter_already_liked_items=True)
    # A pair of user and item as one number; those of the matrix are in order.
    held_out.sort_indices()
    n_items = held_out.shape[1]
    of_row = np.repeat(np.arange(len(users), dtype=np.int64), np.diff(held_out.indptr))
    relevant = of_row * n_items + held_out.indices
    ranked = np.arange(len(users), dtype=np.int64)[:, None] * n_items + items
    places = np.minimum(np.searchsorted(relevant, ranked), len(relevant) - 1)
    return np.asarray((relevant[places] == ranked) & (items >= 0))
