"""Models of `implicit` by our settings: alternating least squares on the CPU.

With `weighted_regularization` the penalty of a user or item is multiplied by the number of its
entries (Zhou et al. 2008), as in Spark's MLlib; `implicit` itself has a constant one alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from implicit.cpu import _als as solvers
from implicit.cpu.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from training.cf.settings import AlsSettings
from training.errors import NothingToFactorize

Factors = NDArray[np.float32]
Solver = Callable[..., None]


class WeightedAls(AlternatingLeastSquares):  # type: ignore[misc]
    """Alternating least squares whose penalty is per entry.

    A row with n entries is solved with the penalty n · regularization on the diagonal. The solvers
    take one penalty for all rows; so each row gets one entry more for each dimension, of a
    pseudo-item whose vector is the unit vector of that dimension. Its confidence is negative, which
    `implicit` reads as "not liked, this sure": it adds to the matrix and not to the right side.
    """

    @property
    def solver(self) -> Solver:
        # Two matrices are solved in turns, users and items: each is augmented once.
        augmented: dict[int, sparse.csr_matrix] = {}
        solve = partial(solvers.least_squares_cg, cg_steps=self.cg_steps)
        return partial(_solve_weighted, solve, augmented)

    def recalculate_user(self, userid: Any, user_items: sparse.csr_matrix) -> Factors:
        return self._recalculate(user_items, self.item_factors)

    def recalculate_item(self, itemid: Any, item_users: sparse.csr_matrix) -> Factors:
        return self._recalculate(item_users, self.user_factors)

    def _recalculate(self, rows: sparse.csr_matrix, others: Factors) -> Factors:
        found = np.zeros((rows.shape[0], self.factors), self.dtype)
        confidence = (self.alpha * rows).tocsr().astype(np.float32)
        _solve_weighted(
            solvers.least_squares,
            {},
            confidence,
            found,
            others,
            self.regularization,
            self.num_threads,
        )
        return found


def _solve_weighted(
    solve: Solver,
    augmented: dict[int, sparse.csr_matrix],
    confidence: sparse.csr_matrix,
    rows: Factors,
    others: Factors,
    regularization: float,
    num_threads: int = 0,
) -> None:
    """Solve for `rows` in place, given the others; by `solve`, a solver of `implicit`."""
    unit = np.eye(others.shape[1], dtype=others.dtype)
    if id(confidence) not in augmented:
        augmented[id(confidence)] = _with_penalties(confidence, regularization, len(unit))
    # The unit vectors are in the sum over all items too, with a confidence of 1: -1 takes it away.
    solve(
        augmented[id(confidence)],
        rows,
        np.concatenate([others, unit]),
        -1.0,
        num_threads=num_threads,
    )


def _with_penalties(
    confidence: sparse.csr_matrix, regularization: float, dim: int
) -> sparse.csr_matrix:
    """The matrix with `dim` columns more, of each row's penalty; rows without entries have none."""
    penalties = (-1 - regularization * np.diff(confidence.indptr)).astype(np.float32)
    penalties[np.diff(confidence.indptr) == 0] = 0
    columns = sparse.csr_matrix(np.repeat(penalties[:, None], dim, 1))
    return sparse.hstack([confidence, columns], "csr", dtype=np.float32)


def new_model(settings: AlsSettings) -> AlternatingLeastSquares:
    """An unfitted `implicit` model with these settings."""
    with threadpool_limits(1, "blas"):  # implicit warns where BLAS has more threads
        kind = WeightedAls if settings.weighted_regularization else AlternatingLeastSquares
        return kind(
            factors=settings.factors,
            regularization=settings.regularization,
            alpha=settings.alpha,
            iterations=settings.iterations,
            random_state=settings.seed,
            num_threads=os.cpu_count() or 1,
        )


def model_of(
    settings: AlsSettings, user_factors: Factors, item_factors: Factors
) -> AlternatingLeastSquares:
    """A model with these factors, fitted by whatever engine."""
    model = new_model(settings)
    model.user_factors, model.item_factors = user_factors, item_factors
    return model


def fit_model(
    user_items: sparse.csr_matrix,
    settings: AlsSettings,
    on_iteration: Callable[[AlternatingLeastSquares, int], None] = lambda model, iteration: None,
) -> AlternatingLeastSquares:
    """A fitted `implicit` model.

    Parameters
    ----------
    on_iteration : called with the model and the number of iterations that are done

    Raises
    ------
    NothingToFactorize
        If the factors overflow.
    """
    model = new_model(settings)

    def after_iteration(iteration: int, elapsed: float, loss: float | None) -> None:
        on_iteration(model, iteration + 1)

    try:
        model.fit(user_items, show_progress=False, callback=after_iteration)
    except ModelFitError as error:
        raise NothingToFactorize(
            f"the factors are not finite, with counts up to {user_items.max():g}; scale the counts "
            "down, or leave --count-column out"
        ) from error
    return model
