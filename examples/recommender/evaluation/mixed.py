"""Mixed catalogue: new songs among the artists of the logs, ranked for each user.

The factorisation is made again without a fifth of the entries, by which old artists are judged. The
predictions are of the fold's space; the linear map between the item factors of both takes them
over, see `user_auc` for what that costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from examples.recommender.blend import unit
from examples.recommender.evaluation.folds import PREDICTION, Fold
from examples.recommender.factors import Vectors
from examples.recommender.slots import fill_slots

K = 10
KEPT = 0.8
# Items with fewer listeners are noise to the map between two factorisations.
MIN_MAPPED = 3
# Rules: a length for every new song, as a quantile of the lengths of item factors, and the number
# of the ten places kept for new songs. Length None: as short as their blend is.
RULES = (
    *((None, slots) for slots in (0, 1, 2, 3)),
    *((quantile, 0) for quantile in (0.95, 0.97, 0.98, 0.985, 0.99)),
)


@dataclass(frozen=True)
class Mixed:
    """The best of one fold's catalogue for each user, (n_users, K), best first.

    Attributes
    ----------
    old, new : scores of items that the user does not have, and of new songs of unit length
    likes_old, likes_new : bool, whether the user likes them: what is judged
    n_liked_old, n_liked_new : of all, (n_users,)
    n_new, n_old : songs and items in the catalogue
    length_quantiles : of item factors
    user_auc : of the predictions in the fold's space, and taken over into the new one
    """

    old: Vectors
    new: Vectors
    likes_old: NDArray[np.bool_]
    likes_new: NDArray[np.bool_]
    n_liked_old: NDArray[np.int64]
    n_liked_new: NDArray[np.int64]
    n_old: int
    n_new: int
    length_quantiles: dict[float, float]
    user_auc: tuple[float, float]


def mix(fold: Fold, set_name: str, seed: int) -> Mixed:
    """Factorise four fifths of the entries, and score old items and one new song of each artist."""
    import pandas as pd

    from training.cf.als import factorize
    from training.cf.logs import Logs
    from training.cf.settings import AlsSettings

    rng = np.random.default_rng(seed)
    entries = fold.user_items.tocoo()
    kept = rng.random(entries.nnz) < KEPT

    def part(mask: NDArray[np.bool_]) -> sparse.csr_matrix:
        rows = (entries.data[mask], (entries.row[mask], entries.col[mask]))
        return sparse.csr_matrix(rows, entries.shape)

    factors, seen = fold.factors, part(kept)
    logs = Logs(seen, pd.Index(factors.users), pd.Index(factors.items), {})
    settings = AlsSettings(regularization=factors.regularization, alpha=factors.alpha)
    other = factorize(logs, settings, check=False)
    mapped = seen.getnnz(0) >= MIN_MAPPED
    between = np.linalg.lstsq(factors.item_factors[mapped], other.item_factors[mapped], rcond=None)
    songs = fold.songs[set_name]
    predicted = unit(songs.predicted[PREDICTION] @ between[0])
    one = [rng.choice(np.flatnonzero(songs.artist_index == a)) for a in range(len(songs.artists))]
    old = other.user_factors @ other.item_factors.T
    old[seen.toarray() > 0] = -np.inf
    norms = np.linalg.norm(other.item_factors, axis=1)
    listens = songs.listens[songs.artist_index]
    likes_old, likes_new = part(~kept).toarray() > 0, songs.listens.T
    best_old, best_new = _best(old), _best(other.user_factors @ predicted[one].T)
    return Mixed(
        best_old[0],
        best_new[0],
        np.take_along_axis(likes_old, best_old[1], 1),
        np.take_along_axis(likes_new, best_new[1], 1),
        likes_old.sum(1),
        likes_new.sum(1),
        old.shape[1],
        len(one),
        {quantile: float(np.quantile(norms, quantile)) for quantile, _ in RULES if quantile},
        (
            _mean_auc(songs.predicted[PREDICTION], factors.user_factors, listens),
            _mean_auc(predicted, other.user_factors, listens),
        ),
    )


def _best(scores: Vectors) -> tuple[Vectors, NDArray[np.int64]]:
    """The K best scores of each row, best first, and their columns."""
    some = np.argpartition(-scores, K, axis=1)[:, :K]
    order = (-np.take_along_axis(scores, some, 1)).argsort(1, kind="stable")
    columns = np.take_along_axis(some, order, 1)
    return np.take_along_axis(scores, columns, 1), columns


def judge(mixed: Mixed, quantile: float | None, slots: int) -> dict[str, NDArray[np.float64]]:
    """Measures of one rule by user; NaN of users who have nothing to be judged by.

    Returns
    -------
    `ndcg_old`, `ndcg_loss`: of the held-out entries of old items, and less than without new songs;
    `recall_new`: of the new songs that a user would like; `share_new`: of the ten places.
    """
    length = mixed.length_quantiles[quantile] if quantile else 0.0
    # The K best old ones are numbered 0 to K - 1, the new ones from K on.
    both = np.concatenate([mixed.old, mixed.new * np.float32(length)], 1)
    alone = np.tile(np.arange(K), (len(both), 1))
    best = (-both).argsort(1, kind="stable")[:, :K] if length else alone
    new = range(K, 2 * K)
    ranked = np.array([fill_slots(row.tolist(), new, slots, K) for row in best])
    nothing = np.zeros_like(mixed.likes_old)
    likes = np.concatenate([mixed.likes_old, nothing], 1)
    ndcg = _ndcg(likes, ranked, mixed.n_liked_old)
    found = np.take_along_axis(np.concatenate([nothing, mixed.likes_new], 1), ranked, 1).sum(1)
    n_liked = mixed.n_liked_new
    return {
        "ndcg_old": ndcg,
        "ndcg_loss": _ndcg(likes, alone, mixed.n_liked_old) - ndcg,
        "recall_new": np.where(n_liked > 0, found / np.maximum(n_liked, 1), np.nan),
        "share_new": (ranked >= K).mean(1),
    }


def _ndcg(
    likes: NDArray[np.bool_], ranked: NDArray[np.int64], n_liked: NDArray[np.int64]
) -> NDArray[np.float64]:
    discount = 1 / np.log2(np.arange(2, K + 2))
    gains = (np.take_along_axis(likes, ranked, 1) * discount).sum(1)
    ideal = np.cumsum(discount)[np.clip(n_liked, 1, K) - 1]
    return np.where(n_liked > 0, gains / ideal, np.nan)


def _mean_auc(vectors: Vectors, users: Vectors, listens: NDArray[np.bool_]) -> float:
    aucs = []
    for row, likes in zip(vectors @ users.T, listens, strict=True):
        others = np.sort(row[~likes])
        aucs.append(others.searchsorted(row[likes]).mean() / len(others))
    return round(float(np.mean(aucs)), 4)


def summarize(
    rule: tuple[float | None, int],
    folds: list[dict[str, NDArray[np.float64]]],
    groups: NDArray[np.int64],
) -> dict[str, Any]:
    """Mean and 95 % interval over users of each measure; a user is in several folds."""
    from training.evaluation.ranking_metrics import bootstrap_over_groups

    row: dict[str, Any] = {"length_quantile": rule[0], "slots": rule[1]}
    for name in folds[0]:
        values = np.concatenate([measures[name] for measures in folds])
        known = ~np.isnan(values)
        index = np.unique(groups[known], return_inverse=True)[1]
        row[name] = np.round(bootstrap_over_groups(values[known], index), 4).tolist()
    return row
