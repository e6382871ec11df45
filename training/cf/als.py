"""Matrix factorization of listening logs by alternating least squares (Hu et al. 2008)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from models.spark import SparkOptions
from training.cf.engines import fit_factors
from training.cf.logs import Logs
from training.cf.models import Factors, model_of
from training.cf.ranking import hold_out, rank_held_out
from training.cf.settings import AlsSettings, Engine
from training.cf.space import digest_of
from training.errors import MissingInput, MixedFactors, NothingToFactorize

K = 10
# Of the users' factors in a dimension, as a share of the largest.
MIN_VARIANCE = 1e-6


@dataclass(frozen=True)
class Factorization:
    """Result of a factorisation.

    Attributes
    ----------
    item_factors, user_factors : float32, shapes (n_items, dim) and (n_users, dim)
    items, users : the ids of their rows
    report : statistics of the logs, and metrics of the ranking check
    basis : (dim, dim): items are the factors of ALS times the basis, users are those of ALS times
        its inverse; None in folders of older versions, with the factors of ALS as they are
    """

    item_factors: Factors
    user_factors: Factors
    items: pd.Index
    users: pd.Index
    settings: AlsSettings
    report: dict[str, Any]
    basis: NDArray[np.float64] | None = None

    @cached_property
    def space(self) -> str:
        """CF space of the factors, see `training.cf.space.digest_of`."""
        return digest_of(self.items, self.item_factors, self.user_factors)

    def save(self, folder: Path) -> None:
        """Write the arrays, the id tables and the report into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "item_factors.npy", self.item_factors)
        np.save(folder / "user_factors.npy", self.user_factors)
        if self.basis is not None:
            np.save(folder / "basis.npy", self.basis)
        self.items.to_series().to_csv(folder / "items.csv", index=False, header=["item_id"])
        self.users.to_series().to_csv(folder / "users.csv", index=False, header=["user_id"])
        metadata = {
            "space": self.space,
            "settings": asdict(self.settings),
            "report": self.report,
        }
        (folder / "report.json").write_text(json.dumps(metadata, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Factorization:
        """Read what `save` wrote.

        Raises
        ------
        MissingInput
        MixedFactors
            Where the arrays or ids are not those that the report was written with.
        """
        try:
            metadata = json.loads((folder / "report.json").read_text())
            found = cls(
                item_factors=np.load(folder / "item_factors.npy"),
                user_factors=np.load(folder / "user_factors.npy"),
                items=_read_index(folder / "items.csv"),
                users=_read_index(folder / "users.csv"),
                settings=AlsSettings(**metadata["settings"]),
                report=metadata["report"],
                basis=_read_basis(folder / "basis.npy"),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:  # missing, or damaged
            raise MissingInput(folder, "tasteprint-train factorize") from error
        recorded = metadata.get("space", found.space)  # older folders have no record
        if recorded != found.space:
            raise MixedFactors(folder, recorded, found.space)
        return found

    def fold_in(self, item_users: sparse.csr_matrix) -> Factors:
        """Factors of items that were not factorised, from their listeners alone, (n_items, dim).

        Parameters
        ----------
        item_users : CSR, shape (n_items, n_users), columns in the order of the user factors
        """
        basis = np.eye(self.item_factors.shape[1]) if self.basis is None else self.basis
        # In the basis of ALS, where its penalty on the length of a factor holds.
        users = (self.user_factors @ basis).astype(np.float32)
        model = model_of(
            self.settings, users, np.zeros((item_users.shape[0], len(basis)), np.float32)
        )
        factors = model.recalculate_item(np.arange(item_users.shape[0]), item_users)
        return np.asarray(factors @ basis, np.float32)


def _read_basis(path: Path) -> NDArray[np.float64] | None:
    return np.load(path) if path.exists() else None


def _read_index(path: Path) -> pd.Index:
    return pd.Index(pd.read_csv(path, dtype=str, keep_default_na=False).iloc[:, 0])


def factorize(
    logs: Logs,
    settings: AlsSettings,
    *,
    check: bool = True,
    engine: Engine = Engine.IMPLICIT,
    spark: SparkOptions | None = None,
    on_iteration: Callable[[], None] = lambda: None,
) -> Factorization:
    """Factorise the logs; by `implicit` deterministic for the same logs and seed.

    ALS determines its factors up to an invertible matrix: items times the matrix and users divided
    by it have the same scores. The matrix is chosen so that the users' factors are uncorrelated and
    of equal variance. Then the cosine of two items is the correlation of their scores over the
    users: songs are near that the same people are predicted to like.

    Parameters
    ----------
    check : also fit without held-out entries and rank those, as a sanity check
    on_iteration : called after each of the `settings.iterations` (twice as many with `check`)

    Raises
    ------
    NothingToFactorize
        If there are fewer than two users or items, or the factors overflow.
    BadEngine, MissingSpark
    """
    n_users, n_items = logs.user_items.shape
    if min(n_users, n_items) < 2:
        raise NothingToFactorize(
            f"the logs have {n_users} users and {n_items} items after filtering, and two of each "
            "are the minimum; give more rows, or lower the minima and the held-out share"
        )
    fit = partial(
        fit_factors, settings=settings, engine=engine, spark=spark, on_iteration=on_iteration
    )
    report: dict[str, Any] = logs.report | {"engine": engine.value}
    # implicit has threads of its own; BLAS threads would only compete with them.
    with threadpool_limits(1, "blas"):
        if check:
            report |= _check_ranking(fit, logs, settings)
        user_factors, item_factors = fit(logs.user_items)
    basis = _whitening(user_factors)
    item_factors = (item_factors @ basis).astype(np.float32)
    # Squares of the singular values, without a decomposition of all users' factors.
    spectrum = np.linalg.eigvalsh(user_factors.T.astype(np.float64) @ user_factors)
    report["effective_dimensions"] = float(spectrum.sum() ** 2 / (spectrum**2).sum())
    report["mean_item_norm"] = float(np.linalg.norm(item_factors, axis=1).mean())
    return Factorization(
        item_factors,
        (user_factors @ np.linalg.inv(basis)).astype(np.float32),
        logs.items,
        logs.users,
        settings,
        report,
        basis,
    )


def _check_ranking(
    fit: Callable[[sparse.csr_matrix], tuple[Factors, Factors]], logs: Logs, settings: AlsSettings
) -> dict[str, float]:
    training, held_out = hold_out(logs, settings.seed)
    model = model_of(settings, *fit(training))
    found = rank_held_out(model, training, held_out, [K], settings.seed)
    return {f"held_out_{name}": value for name, value in sorted(found.items())}


def _whitening(user_factors: Factors) -> NDArray[np.float64]:
    """The square root of the users' covariance, (dim, dim): symmetric, so that no axis is turned.

    Dimensions that the penalty has emptied have no variance; the floor keeps the root invertible.
    """
    variances, axes = np.linalg.eigh(np.cov(np.asarray(user_factors, np.float64), rowvar=False))
    roots = np.sqrt(np.maximum(variances, MIN_VARIANCE * variances.max()))
    return np.asarray(axes * roots @ axes.T)
