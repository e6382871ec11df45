"""Factorisation whose penalty and weights of plays are chosen by held-out plays."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from training.cf.als import Factorization, K, factorize
from training.cf.engines import fit_factors
from training.cf.logs import Logs
from training.cf.models import model_of
from training.cf.ranking import hold_out, rank_held_out
from training.cf.settings import AlsSettings
from training.errors import NothingToFactorize
from training.mine.inputs import digest_of_logs
from training.mine.settings import MineSettings
from training.mine.stages import begin, digest_of, finish, is_done

PENALTIES = (1.0, 10.0, 40.0, 100.0)
# Of an entry with n plays: 1, or 1 + log n, as confidence that grows with every play lets a few
# devoted users decide (Hu et al. 2008, section 6).
WEIGHTS: dict[str, Callable[[Any], Any]] = {
    "one": np.ones_like,
    "log": lambda counts: 1 + np.log(np.maximum(counts, 1)),
}
# Entries above which the choice is made on some of the users.
MAX_SEARCHED = 2_000_000


def weigh(logs: Logs, weight: str) -> Logs:
    """The logs with a weight in place of the number of plays."""
    matrix = logs.user_items.copy()
    matrix.data = WEIGHTS[weight](matrix.data).astype(np.float32)
    return replace(logs, user_items=matrix)


def leave_out(logs: Logs, items: Collection[str]) -> Logs:
    """The logs without some items, and without the users who played no other.

    Raises
    ------
    NothingToFactorize
    """
    kept_items = ~logs.items.isin(list(items))
    matrix = logs.user_items[:, kept_items].tocsr()
    kept_users = np.diff(matrix.indptr) > 0
    if kept_items.sum() < 2 or kept_users.sum() < 2:
        raise NothingToFactorize(
            f"without held-out songs the plays have {kept_items.sum()} items and "
            f"{kept_users.sum()} users, and two of each are the minimum; give more plays"
        )
    return Logs(
        matrix[kept_users],
        logs.users[kept_users],
        logs.items[kept_items],
        dict(logs.report),
        all_items=logs.items,
    )


def factorize_best(
    logs: Logs,
    settings: MineSettings,
    folder: Path,
    on_fit: Callable[[], None] = lambda: None,
) -> Factorization:
    """The factors of a folder, made where they are not of these logs and settings.

    The report has the choice. Plays alone are held out for it, and no audio is heard.

    Parameters
    ----------
    logs : plays as counts
    on_fit : called after each factorisation

    Raises
    ------
    NothingToFactorize
    """
    digest = digest_of(digest_of_logs(logs), vars(settings) | {"min_listeners": 0})
    if is_done(folder, digest):
        return Factorization.load(folder)
    begin(folder)
    dim = min(settings.factors, *(max(2, size // 2) for size in logs.user_items.shape))
    als = AlsSettings(dim, settings.regularization, settings.alpha, settings.iterations)
    als = replace(als, seed=settings.seed)
    table = _search(logs, als, on_fit)
    best = max(table, key=lambda row: float(row["ndcg_at_10"]))
    weight, penalty = str(best["weight"]), float(best["regularization"])
    found = factorize(weigh(logs, weight), replace(als, regularization=penalty), check=False)
    on_fit()
    found.report["weight"] = weight
    found.report["search"] = table
    found.save(folder)
    finish(folder, digest)
    return found


def count_fits(settings: MineSettings) -> int:
    """Factorisations of one `factorize_best`."""
    return len(WEIGHTS) * (1 if settings.regularization else len(PENALTIES)) + 1


def _search(
    logs: Logs, settings: AlsSettings, on_fit: Callable[[], None]
) -> list[dict[str, float | str]]:
    """nDCG of held-out plays of every weight and penalty, the most cautious first."""
    penalties = (settings.regularization,) if settings.regularization else PENALTIES
    some = _sample_users(logs, settings.seed)
    table: list[dict[str, float | str]] = []
    for weight in WEIGHTS:
        weighted = weigh(some, weight)
        for penalty in penalties:
            chosen = replace(settings, regularization=penalty)
            ndcg = _rank(weighted, chosen)
            table.append({"weight": weight, "regularization": penalty, "ndcg_at_10": ndcg})
            on_fit()
    return table


def _rank(logs: Logs, settings: AlsSettings) -> float:
    """nDCG@10 of held-out entries; 0 where no user has entries on both sides."""
    training, held_out = hold_out(logs, settings.seed)
    with threadpool_limits(1, "blas"):  # implicit has threads of its own
        model = model_of(settings, *fit_factors(training, settings))
        found = rank_held_out(model, training, held_out, [K], settings.seed)
    return found.get(f"ndcg_at_{K}", 0.0)


def _sample_users(logs: Logs, seed: int) -> Logs:
    """At most `MAX_SEARCHED` entries: those of some users, drawn at random."""
    matrix = logs.user_items
    if matrix.nnz <= MAX_SEARCHED:
        return logs
    order = np.random.default_rng(seed).permutation(matrix.shape[0])
    lengths = np.diff(matrix.indptr)[order].cumsum()
    chosen = np.sort(order[: max(2, int(np.searchsorted(lengths, MAX_SEARCHED)))])
    return replace(logs, user_items=matrix[chosen], users=logs.users[chosen])
