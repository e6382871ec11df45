"""Ranking metrics on held-out artists: user AUC, cosine, recall@k and nDCG@k, with intervals.

The held-out artists are in neither the audio nor the logs that any method was fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import rankdata

from training.cf.als import Factorization
from training.cf.logs import Logs
from training.errors import OtherUsers

Vectors = NDArray[np.float32]
N_BOOTSTRAP = 2000
# Scores of clips for users that are ranked at a time, 80 MB.
MAX_SCORES = 10_000_000


@dataclass(frozen=True)
class HeldOut:
    """Held-out items with their clips and listeners.

    Attributes
    ----------
    items : ids of the held-out items
    item_index : (n_clips,), index into `items` of each clip
    item_users : CSR, shape (n_items, n_users), columns in the order of the user factors
    folded_in : (n_items, dim), item factors computed from the listeners: the ceiling
    """

    items: pd.Index
    item_index: NDArray[np.int64]
    item_users: sparse.csr_matrix
    folded_in: Vectors

    def of_clips(self, mask: NDArray[np.bool_]) -> HeldOut:
        """Some of the clips, shape (n_clips,), and the items that they are of."""
        kept, index = np.unique(self.item_index[mask], return_inverse=True)
        return HeldOut(self.items[kept], index, self.item_users[kept], self.folded_in[kept])


def held_out(
    clip_items: pd.Series, logs: Logs, factors: Factorization, min_listeners: int
) -> tuple[HeldOut, NDArray[np.bool_]]:
    """The held-out items with enough listeners, and a mask of the clips that belong to them.

    Parameters
    ----------
    clip_items : item id of each candidate clip
    logs : all of the logs, held-out items included
    factors : factorised without those items

    Raises
    ------
    OtherUsers
        Where the logs lack users of the factors.
    """
    column = {item: index for index, item in enumerate(logs.items)}
    user_rows = logs.users.get_indexer(factors.users)
    if (missing := int((user_rows < 0).sum())) > 0:
        raise OtherUsers(missing)
    candidates = sorted(set(clip_items) & column.keys())
    by_item = logs.user_items[user_rows][:, [column[item] for item in candidates]].T.tocsr()
    enough = np.diff(by_item.indptr) >= min_listeners
    items = pd.Index(np.array(candidates, dtype=object)[enough])
    item_users = by_item[enough]
    mask = clip_items.isin(items).to_numpy()
    index = items.get_indexer(clip_items[mask])
    return HeldOut(items, index, item_users, factors.fold_in(item_users)), mask


def clip_measures(
    predicted: Vectors, data: HeldOut, factors: Factorization
) -> dict[str, NDArray[np.float64]]:
    """Cosine to the folded-in factor and user AUC of each clip.

    Parameters
    ----------
    predicted : shape (n_clips, dim)

    Returns
    -------
    `cosine`, `user_auc`: shape (n_clips,). User AUC is the probability that a listener of the
    clip's item scores above another user, by predicted vector · user factor.
    """
    target = data.folded_in[data.item_index]
    norms = np.linalg.norm(predicted, axis=1) * np.linalg.norm(target, axis=1)
    cosine = (predicted * target).sum(1) / np.maximum(norms, 1e-12)
    auc = np.empty(len(predicted))
    step = max(1, MAX_SCORES // len(factors.user_factors))
    for start in range(0, len(predicted), step):
        some = slice(start, start + step)
        scores = predicted[some] @ factors.user_factors.T  # (n_clips, n_users)
        auc[some] = _user_auc(scores, data.item_users[data.item_index[some]].toarray() > 0)
    return {"cosine": cosine.astype(np.float64), "user_auc": auc}


def _user_auc(scores: Vectors, listens: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of pairs of a listener and another user that are in order, (n_clips,)."""
    ranks = rankdata(scores, axis=1)
    n_listeners = listens.sum(1)
    n_others = listens.shape[1] - n_listeners
    rank_sum = (ranks * listens).sum(1)  # the Mann-Whitney U statistic, over the number of pairs
    n_pairs = n_listeners * n_others
    found = (rank_sum - n_listeners * (n_listeners + 1) / 2) / np.maximum(n_pairs, 1)
    return np.where(n_pairs > 0, found, 0.5)  # an item that everyone has tells nothing


def users_of(data: HeldOut) -> NDArray[np.bool_]:
    """Mask of the users, in the order of the user factors, who have one of the items."""
    return np.asarray(data.item_users.getnnz(0) > 0)


def recommendation_measures(
    predicted: Vectors, data: HeldOut, factors: Factorization, k: int, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Recall@k and nDCG@k of recommending the held-out items to each user of `users_of`.

    The vector of an item is the mean over its clips; ties are broken at random.
    """
    n_items = len(data.items)
    clips = sparse.csr_matrix(
        (np.ones(len(data.item_index)), (data.item_index, np.arange(len(data.item_index)))),
        shape=(n_items, len(data.item_index)),
    )
    vectors = (clips @ predicted) / np.bincount(data.item_index, minlength=n_items)[:, None]
    relevant = data.item_users.T.toarray() > 0  # (n_users, n_items)
    users = users_of(data)
    relevant = relevant[users]
    scores = factors.user_factors[users] @ vectors.T
    tie_break = np.random.default_rng(seed).random(scores.shape)
    top = np.lexsort((tie_break, -scores), axis=1)[:, :k]
    hits = np.take_along_axis(relevant, top, 1)  # (n_users, k), best first
    discount = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(discount)[np.minimum(relevant.sum(1), len(discount)) - 1]
    return {
        f"recall_at_{k}": hits.sum(1) / relevant.sum(1),
        f"ndcg_at_{k}": (hits * discount).sum(1) / ideal,
    }


def bootstrap_over_groups(
    values: NDArray[np.float64], group_index: NDArray[np.int64], seed: int = 0
) -> tuple[float, float, float]:
    """Cluster bootstrap: mean over values and its 95 % interval, with groups resampled.

    Clips of one artist are correlated, so their group is the artist; likewise for a user whom
    several folds judge.
    """
    n_groups = int(group_index.max()) + 1
    totals = np.bincount(group_index, values, n_groups)
    counts = np.bincount(group_index, minlength=n_groups)
    draws = np.random.default_rng(seed).integers(n_groups, size=(N_BOOTSTRAP, n_groups))
    means = totals[draws].sum(1) / counts[draws].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)
