"""Engines that factorise: `implicit` on the CPU or a GPU, and Spark's MLlib."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from models.spark import SparkOptions
from training.cf.models import Factors, fit_model
from training.cf.settings import AlsSettings, Engine
from training.errors import BadEngine


def fit_factors(
    user_items: sparse.csr_matrix,
    settings: AlsSettings,
    engine: Engine = Engine.IMPLICIT,
    spark: SparkOptions | None = None,
    on_iteration: Callable[[], None] = lambda: None,
) -> tuple[Factors, Factors]:
    """Factors of users and items, shapes (n_users, dim) and (n_items, dim).

    Parameters
    ----------
    on_iteration : called after each of the `settings.iterations`; by Spark, for all at the end

    Raises
    ------
    BadEngine, MissingSpark, NothingToFactorize
    """
    if engine is Engine.SPARK:
        from training.cf.spark_als import fit_on_spark

        factors = fit_on_spark(user_items, settings, spark or SparkOptions())
        for _ in range(settings.iterations):
            on_iteration()
        return factors
    if engine is Engine.IMPLICIT_GPU:
        return _fit_on_gpu(user_items, settings, on_iteration)
    model = fit_model(user_items, settings, lambda model, iteration: on_iteration())
    return model.user_factors, model.item_factors


def _fit_on_gpu(
    user_items: sparse.csr_matrix, settings: AlsSettings, on_iteration: Callable[[], None]
) -> tuple[Factors, Factors]:
    import implicit.gpu

    if settings.weighted_regularization:
        raise BadEngine(
            Engine.IMPLICIT_GPU,
            "has a constant penalty alone",
            "leave out --weighted-regularization",
        )
    if not implicit.gpu.HAS_CUDA:
        raise BadEngine(
            Engine.IMPLICIT_GPU,
            "finds no CUDA device, or no CUDA libraries for this build of implicit",
            "choose --engine implicit",
        )
    from implicit.gpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=settings.factors,
        regularization=settings.regularization,
        iterations=settings.iterations,
        random_state=settings.seed,
    )
    # Its `fit` does not apply its parameter `alpha` (0.7.3), as the one on the CPU does.
    confidence = (settings.alpha * user_items).tocsr().astype(np.float32)
    model.fit(
        confidence, show_progress=False, callback=lambda iteration, elapsed, loss: on_iteration()
    )
    return model.user_factors.to_numpy(), model.item_factors.to_numpy()
