"""Hyperparameters of the factorisation by alternating least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc


@dataclass(frozen=True)
class AlsSettings:
    """Hyperparameters of `implicit`'s alternating least squares.

    Confidence is alpha · count if the user has the item, else 1. The defaults ranked
    held-out entries of the logs that the shipped model learns from best: nDCG@10 0.251, mean of
    three seeds, against 0.242 with the penalty 1; they were chosen on the logs alone, without any
    audio. The penalty is on a sum over a user's entries, so much smaller logs need a smaller one.
    """

    factors: Annotated[int, Doc("Dimension of the factors."), Ge(1)] = 40
    regularization: Annotated[float, Doc("L2 penalty on the factors.")] = 40.0
    alpha: Annotated[
        float, Doc("Confidence weight of an entry; a missing entry has confidence 1.")
    ] = 10.0
    iterations: Annotated[int, Doc("Sweeps over users and items.")] = 15
    seed: Annotated[int, Doc("Random seed; the same seed gives the same result.")] = 0
