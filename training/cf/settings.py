"""Hyperparameters of the factorisation by alternating least squares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc


@dataclass(frozen=True)
class AlsSettings:
    """Hyperparameters of `implicit`'s alternating least squares.

    Confidence is alpha · count if the user has the item, else 1. Alpha 10 ranked held-out entries
    of the shipped model's logs best (nDCG@10 0.251 with a penalty of 40, 0.242 with one of 1). Both
    were chosen on the logs alone, without any audio. The penalty is on a sum over the entries of a
    user or item, so the best one grows with the logs: the default is for small ones, `make linear`
    sets 40. Too large a penalty empties dimensions: see `effective_dimensions` in the report.
    """

    factors: Annotated[int, Doc("Dimension of the factors."), Ge(1)] = 40
    regularization: Annotated[float, Doc("L2 penalty on the factors.")] = 1.0
    alpha: Annotated[
        float, Doc("Confidence weight of an entry; a missing entry has confidence 1.")
    ] = 10.0
    iterations: Annotated[int, Doc("Sweeps over users and items.")] = 15
    seed: Annotated[int, Doc("Random seed; the same seed gives the same result.")] = 0
    weighted_regularization: Annotated[
        bool,
        Doc(
            "Multiply the penalty of a user or item by the number of its entries; a good penalty "
            "is then about 0.3, whatever the size of the logs."
        ),
    ] = False


class Engine(StrEnum):
    """What solves the least squares."""

    IMPLICIT = "implicit"
    IMPLICIT_GPU = "implicit-gpu"
    SPARK = "spark"


@dataclass(frozen=True)
class SearchGrid:
    """Values of a search, each with each: the hyperparameters of `AlsSettings` by their names."""

    regularization: tuple[float, ...]
    alpha: tuple[float, ...] = (2.0, 10.0, 40.0)
    iterations: tuple[int, ...] = (5, 10, 15)

    @property
    def n_combinations(self) -> int:
        return len(self.regularization) * len(self.alpha) * len(self.iterations)


PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)
PENALTIES_PER_ENTRY = (0.01, 0.03, 0.1, 0.3, 1.0)
