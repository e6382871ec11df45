"""How near what one graph puts out comes to what another does for the same window.

The threshold is the same for both measures: 0.999 is a difference of 4.5 % of the length, across
the vector for `cosine`, in any direction for `agreement`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]

# Vectors whose direction counts. Of the numbers of the other outputs the size says something too.
DIRECTIONS = frozenset({"embedding", "features"})


def output_agreement(name: str, one: Vector, other: Vector) -> float:
    """The measure that fits the output of that name, in [-1, 1]."""
    return cosine(one, other) if name in DIRECTIONS else agreement(one, other)


def cosine(one: Vector, other: Vector) -> float:
    """In [-1, 1]; between two zeros 1, between one and anything else, or with NaN, -1."""
    left, right, lengths = _with_lengths(one, other)
    if not all(lengths):
        return 1.0 if not any(lengths) else -1.0
    return _bounded(float(left @ right) / lengths[0] / lengths[1])


def agreement(one: Vector, other: Vector) -> float:
    """1 - |a - b|² / (2 |a| |b|): the cosine of vectors as long as each other, less for others.

    So it sees what a cosine does not, numbers that are all larger by a factor: a tenth costs
    0.0045, and of a single number that is all there is to see. In [-1, 1]; zeros and NaN as in
    `cosine`.
    """
    left, right, lengths = _with_lengths(one, other)
    if not all(lengths):
        return 1.0 if not any(lengths) else -1.0
    apart = float(np.linalg.norm(left - right))
    return _bounded(1 - apart / lengths[0] * apart / lengths[1] / 2)


def _with_lengths(
    one: Vector, other: Vector
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    left, right = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return left, right, (float(np.linalg.norm(left)), float(np.linalg.norm(right)))


def _bounded(found: float) -> float:
    return float(np.clip(found, -1, 1)) if np.isfinite(found) else -1.0
