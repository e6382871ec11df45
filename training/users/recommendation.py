"""Recommendation of held-out entries: recall@k and nDCG@k of each user, by several methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from training.cf.models import fit_model
from training.cf.ranking import measure_hits
from training.cf.settings import AlsSettings
from training.users.held_out import HeldOutEntries
from training.users.network import UserTower

Values = NDArray[np.float64]
# Rows of users -> scores of all items, shape (len(rows), n_items).
ScoreItems = Callable[[NDArray[np.int64]], NDArray[np.float32]]
KS = (10, 50, 100)
# Of the users' validation items, by which ALS chooses its penalty as the network its epoch.
CHOICE = "recall_at_100"
PENALTIES = (1.0, 10.0, 40.0, 100.0)
BATCH_SIZE = 256


def measure(score: ScoreItems, entries: HeldOutEntries) -> dict[str, Values]:
    """Recall@k and nDCG@k of each of `entries.tested_users`, shape (n_tested,).

    All items are ranked but those that the user has in the training and validation part; ties are
    broken at random.
    """
    users, seen = entries.tested_users, entries.seen
    order = np.random.default_rng(0).permutation(entries.test.shape[1])
    n_top = min(max(KS), len(order))
    hits = np.zeros((len(users), n_top), bool)
    for start in range(0, len(users), BATCH_SIZE):
        rows = users[start : start + BATCH_SIZE]
        scores = np.where(seen[rows].toarray() > 0, -np.inf, score(rows))[:, order]
        top = np.argpartition(-scores, n_top - 1, axis=1)[:, :n_top]
        best_first = np.argsort(-np.take_along_axis(scores, top, 1), axis=1)
        top = np.take_along_axis(top, best_first, 1)
        relevant = entries.test[rows].toarray()[:, order] > 0
        hits[start : start + len(rows)] = np.take_along_axis(relevant, top, 1)
    return measure_hits(hits, np.diff(entries.test.indptr)[users], KS)


def by_popularity(entries: HeldOutEntries) -> ScoreItems:
    """The same ranking for every user: items by the number of their users."""
    counts = np.asarray(entries.training.getnnz(0), np.float32)
    return lambda rows: np.tile(counts, (len(rows), 1))


def by_als(entries: HeldOutEntries, dim: int, seed: int) -> tuple[ScoreItems, float]:
    """ALS on the training entries, and its penalty: the best for the validation items."""
    validated = entries.for_validation()
    found: dict[float, tuple[float, ScoreItems]] = {}
    for penalty in PENALTIES:
        settings = replace(AlsSettings(), factors=dim, regularization=penalty, seed=seed)
        # implicit has threads of its own; BLAS threads would only compete with them.
        with threadpool_limits(1, "blas"):
            model = fit_model(entries.training, settings)
        score = by_vectors(model.user_factors, model.item_factors)
        found[penalty] = float(measure(score, validated)[CHOICE].mean()), score
    best = max(found, key=lambda penalty: found[penalty][0])
    return found[best][1], best


def by_vectors(users: NDArray[np.float32], items: NDArray[np.float32]) -> ScoreItems:
    """Dot products of the vectors of users and items."""
    return lambda rows: users[rows] @ items.T


def vectors_of(
    tower: UserTower, histories: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of the users of these histories and of all items, (n, dim) each."""
    with torch.inference_mode():
        starts = range(0, len(histories), BATCH_SIZE)
        parts = [torch.from_numpy(histories[start : start + BATCH_SIZE]) for start in starts]
        users = torch.cat([tower(part) for part in parts])
        return users.numpy(), tower.item_vectors.numpy().copy()
