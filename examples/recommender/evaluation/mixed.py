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
from examples.recommender.ranking import fill_slots

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
    """Scores of one fold's catalogue.

    Attributes
    ----------
    old, new : scores, (n_users, n_items) and (n_users, n_new); items a user has are -inf
    likes_old, likes_new : bool, what is judged
    """

    old: Vectors
    new: Vectors
    likes_old: NDArray[np.bool_]
    likes_new: NDArray[np.bool_]
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
    return Mixed(
        old,
        other.user_factors @ predicted[one].T,
        part(~kept).toarray() > 0,
        songs.listens.T,
        {quantile: float(np.quantile(norms, quantile)) for quantile, _ in RULES if quantile},
        (
            _mean_auc(
                songs.predicted[PREDICTION], factors.user_factors, songs.listens[songs.artist_index]
            ),
            _mean_auc(predicted, other.user_factors, songs.listens[songs.artist_index]),
        ),
    )


def judge(mixed: Mixed, quantile: float | None, slots: int) -> dict[str, NDArray[np.float64]]:
    """Measures of one rule by user; NaN of users who have nothing to be judged by.

    Returns
    -------
    `ndcg_old`, `ndcg_loss`: of the held-out entries of old items, and less than without new songs;
    `recall_new`: of the new songs that a user would like; `share_new`: of the ten places.
    """
    n_old = mixed.old.shape[1]
    length = mixed.length_quantiles[quantile] if quantile else 0.0
    alone = (-mixed.old).argsort(1, kind="stable")[:, :K]
    both = np.concatenate([mixed.old, mixed.new * np.float32(length)], 1)
    best = (-both).argsort(1, kind="stable")[:, :K] if length else alone
    try_out = (-mixed.new).argsort(1, kind="stable")[:, :K] + n_old
    ranked = np.array(
        [fill_slots(list(row), list(new), slots, K) for row, new in zip(best, try_out, strict=True)]
    )
    likes = np.concatenate([mixed.likes_old, np.zeros_like(mixed.likes_new)], 1)
    likes_new = np.concatenate([np.zeros_like(mixed.likes_old), mixed.likes_new], 1)
    ndcg = _ndcg(likes, ranked)
    n_liked = mixed.likes_new.sum(1)
    found = np.take_along_axis(likes_new, ranked, 1).sum(1)
    return {
        "ndcg_old": ndcg,
        "ndcg_loss": _ndcg(likes, alone) - ndcg,
        "recall_new": np.where(n_liked > 0, found / np.maximum(n_liked, 1), np.nan),
        "share_new": (ranked >= n_old).mean(1),
    }


def _ndcg(likes: NDArray[np.bool_], ranked: NDArray[np.int64]) -> NDArray[np.float64]:
    discount = 1 / np.log2(np.arange(2, K + 2))
    gains = (np.take_along_axis(likes, ranked, 1) * discount).sum(1)
    n_liked = likes.sum(1)
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
