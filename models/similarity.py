"""Output similarity of two graphs: cosine, and agreement in direction and magnitude.

One threshold fits both measures: 0.999 is a difference of 4.5 % of the vector's length, orthogonal
to the vector for `cosine`, in any direction for `agreement`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]

# Outputs of which only the direction matters; for the others the magnitude matters too.
DIRECTIONS = frozenset({"embedding", "features"})


def output_agreement(name: str, one: Vector, other: Vector) -> float:
    """The measure for the output of that name, in [-1, 1]."""
    return cosine(one, other) if name in DIRECTIONS else agreement(one, other)


def cosine(one: Vector, other: Vector) -> float:
    """Cosine similarity in [-1, 1]; 1 for two zero vectors, -1 for one zero vector or NaN."""
    left, right, lengths = _with_lengths(one, other)
    if not all(lengths):
        return 1.0 if not any(lengths) else -1.0
    return _clip(float(left @ right) / lengths[0] / lengths[1])


def agreement(one: Vector, other: Vector) -> float:
    """1 - |a - b|² / (2 |a| |b|): the cosine for vectors of equal length, less for others.

    Unlike the cosine it detects scaling: a factor of 1.1 costs 0.0045; for a single value, scaling
    is the only possible difference. In [-1, 1]; zeros and NaN as in `cosine`.
    """
    left, right, lengths = _with_lengths(one, other)
    if not all(lengths):
        return 1.0 if not any(lengths) else -1.0
    distance = float(np.linalg.norm(left - right))
    return _clip(1 - distance / lengths[0] * distance / lengths[1] / 2)


def _with_lengths(
    one: Vector, other: Vector
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    left, right = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return left, right, (float(np.linalg.norm(left)), float(np.linalg.norm(right)))


def _clip(similarity: float) -> float:
    return float(np.clip(similarity, -1, 1)) if np.isfinite(similarity) else -1.0
