"""Matrix factorisation, as `tasteprint-train factorize` writes it, and fold-in into its space."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy import sparse

from examples.recommender.errors import BadFactors

Vectors = NDArray[np.float32]
# Of the lengths of item factors, by which a prior mean is as long as the factor of a known item.
PRIOR_QUANTILE = 0.95


@dataclass(frozen=True)
class Factors:
    """Factors of items and users, and the settings of the ALS that made them.

    Attributes
    ----------
    items, users : ids of the rows
    item_factors, user_factors : float32, shapes (n_items, dim) and (n_users, dim)
    basis : (dim, dim): items are the factors of ALS times the basis, users those times its inverse
    space : identity of the factorisation, which the encoder's card names too
    """

    items: list[str]
    users: list[str]
    item_factors: Vectors
    user_factors: Vectors
    basis: NDArray[np.float64]
    regularization: float
    alpha: float
    space: str

    @classmethod
    def load(cls, folder: Path) -> Factors:
        """Read a folder of `tasteprint-train factorize`.

        Raises
        ------
        BadFactors
            If a file is missing or damaged, or belongs to another factorisation.
        """
        try:
            report = json.loads((folder / "report.json").read_text())
            items, users = _read_ids(folder / "items.csv"), _read_ids(folder / "users.csv")
            item_factors = np.load(folder / "item_factors.npy")
            user_factors = np.load(folder / "user_factors.npy")
            settings = report["settings"]
            found = cls(
                items,
                users,
                item_factors,
                user_factors,
                basis=np.load(folder / "basis.npy"),
                regularization=settings["regularization"],
                alpha=settings["alpha"],
                space=digest_of(items, item_factors, user_factors),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadFactors(folder, f"{type(error).__name__}: {error}") from error
        if found.space != report["space"]:
            stated = f"its report is of the space {report['space'][:12]}, its arrays of"
            raise BadFactors(folder, f"{stated} {found.space[:12]}")
        return found

    @cached_property
    def gram(self) -> NDArray[np.float64]:
        """XᵀX + λI of ALS, in this basis, (dim, dim): what no listener says about an item."""
        users = self.user_factors.astype(np.float64)
        back = np.linalg.inv(self.basis)
        return np.asarray(users.T @ users + self.regularization * back @ back.T)

    @cached_property
    def prior_length(self) -> float:
        """Length of the prior mean of a song; of a unit vector, the scale of logs is unknown."""
        return float(np.quantile(np.linalg.norm(self.item_factors, axis=1), PRIOR_QUANTILE))

    def fold_in_item(
        self, listeners: Vectors, prior: Vectors | None = None, precision: float = 0.0
    ) -> Vectors:
        """Factor of an item from its listeners, and from what is expected of it before any.

        The normal equations of Hu et al. 2008, with a Gaussian prior: mean `prior`, precision
        `precision` · (XᵀX + λI). With precision 0 it is `recalculate_item` of `implicit`.

        Parameters
        ----------
        listeners : their factors, shape (n_listeners, dim)
        prior : shape (dim,); None for precision 0
        """
        heard = listeners.astype(np.float64)
        left = (1 + precision) * self.gram + (self.alpha - 1) * heard.T @ heard
        right = self.alpha * heard.sum(0)
        if prior is not None:
            right = right + precision * self.gram @ prior
        return np.linalg.solve(left, right).astype(np.float32)

    @cached_property
    def _als_items(self) -> Vectors:
        return np.asarray(self.item_factors @ np.linalg.inv(self.basis), np.float32)

    def fold_in_user(self, columns: Sequence[int], songs: Vectors) -> Vectors:
        """Factor of a user from what they like.

        Parameters
        ----------
        columns : of the items liked; those of songs come after the items
        songs : vectors of songs outside the factorisation, shape (n_songs, dim)
        """
        # A model for each call: `implicit` caches YᵀY, and does not see that factors are replaced.
        model = AlternatingLeastSquares(
            factors=len(self.basis),
            regularization=self.regularization,
            alpha=self.alpha,
            num_threads=1,
        )
        # In the basis of ALS, where its penalty on the length of a factor holds.
        back = np.linalg.inv(self.basis)
        extra = (songs @ back).astype(np.float32)
        model.item_factors = np.concatenate([self._als_items, extra])
        ones = np.ones(len(columns), np.float32)
        shape = (1, len(model.item_factors))
        likes = sparse.csr_matrix((ones, ([0] * len(columns), columns)), shape)
        return np.asarray(model.recalculate_user([0], likes)[0] @ back, np.float32)


def digest_of(items: Sequence[str], item_factors: Vectors, user_factors: Vectors) -> str:
    """CF space: SHA-256 of ids and factors, as `tasteprint-train` computes it."""
    digest = hashlib.sha256(json.dumps(list(items)).encode())
    for vectors in (item_factors, user_factors):
        digest.update(str(vectors.shape).encode())
        digest.update(np.ascontiguousarray(vectors, "<f4").tobytes())
    return digest.hexdigest()


def _read_ids(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [row[0] for row in csv.reader(file)][1:]
