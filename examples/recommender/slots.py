"""Best scores, and slots for new songs among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.recommender.factors import Vectors

# One of ten places is for a song to try out, or it would be ranked once it is known, and known once
# it is ranked. From so many listeners on sound adds nothing, and a song competes by its score.
PLACES_PER_SLOT, TRIED_OUT = 10, 20


def best(scores: Vectors, limit: int) -> list[int]:
    """Rows of the best scores, best first; of equal scores the first."""
    if limit < len(scores):
        # Also those that equal the last one, so that the choice among them is always the same.
        worst = np.partition(-scores, limit - 1)[limit - 1]
        some = np.flatnonzero(-scores <= worst)
    else:
        some = np.arange(len(scores))
    order = (-scores[some]).argsort(kind="stable")[:limit]
    best: list[int] = some[order].tolist()
    return best


def fill_slots(
    ranked: Sequence[int], candidates: Sequence[int], n_slots: int, limit: int
) -> list[int]:
    """The first of `ranked`, with candidates in the last places if fewer than `n_slots` are there.

    Parameters
    ----------
    ranked, candidates : best first
    """
    top = list(ranked[:limit])
    among = set(candidates)
    missing = max(0, n_slots - sum(row in among for row in top))
    extra = [row for row in candidates if row not in top][:missing]
    n_dropped = max(0, len(top) + len(extra) - limit)
    others = [row for row in top if row not in among]
    dropped = set(others[len(others) - n_dropped :])
    return [row for row in top if row not in dropped] + extra
