"""Exact search by cosine: the values of a row do not depend on the rows beside it.

A matrix product rounds a row's sum as its place among the other rows decides, so that a song that
is added could change the last bit of another one's cosine. The product therefore only chooses the
candidates; their cosines are added up a dimension at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Positions = NDArray[np.int64]
# Candidates that are sorted at first; more where filters leave too few.
MIN_CANDIDATES = 256
# More than the rounding error of a product of two unit vectors, for each dimension.
ERROR_PER_DIMENSION = 2e-7


@dataclass(frozen=True)
class Hit:
    """A song near to a query.

    Attributes
    ----------
    cosine : of the centred vectors, from -1 to 1
    rank : 1 for the nearest of the catalogue, whatever was left out
    percentile : share of the catalogue that is less near, from 0 to 100
    """

    track_id: str
    cosine: float
    rank: int
    percentile: float
    title: str | None = None
    artist: str | None = None


@dataclass(frozen=True)
class Filters:
    """What is left out of the answer to a query.

    Attributes
    ----------
    exclude_same_artist : songs by an artist of a seed
    max_per_artist : 0 for any number; songs without an artist are not limited
    """

    limit: int = 10
    exclude_same_artist: bool = False
    max_per_artist: int = 0
    min_cosine: float = -1.0


def unit(vectors: Vectors) -> Vectors:
    """Vectors of length 1; a zero vector stays one."""
    return divide(vectors, lengths_of(vectors))


def lengths_of(vectors: Vectors) -> Vectors:
    """Lengths of vectors, shape (…,)."""
    lengths: Vectors = np.linalg.norm(vectors, axis=-1).astype(np.float32)
    return lengths


def divide(vectors: Vectors, lengths: Vectors) -> Vectors:
    scaled: Vectors = (vectors / np.maximum(lengths[..., None], 1e-12)).astype(np.float32)
    return scaled


def exact_products(rows: Vectors, query: Vectors) -> NDArray[np.float64]:
    """Products of rows, (n, dim), with a query, (dim,): each row's own, whatever rows there are."""
    products = np.zeros(len(rows))
    for values, weight in zip(rows.T.astype(np.float64), query.astype(np.float64), strict=True):
        products += values * weight
    return products


def descending(
    approximate: Vectors, exact: Callable[[Positions], NDArray[np.float64]], dim: int
) -> Iterator[tuple[int, float]]:
    """Positions with their exact cosines, descending; equal ones by position.

    Parameters
    ----------
    approximate : cosines of all rows, shape (n,), but for their rounding errors
    exact : cosines of the rows at some positions
    """
    error, count, ceiling = ERROR_PER_DIMENSION * dim, MIN_CANDIDATES, np.inf
    while ceiling > -np.inf:
        if count < len(approximate):
            # Whatever is not chosen is below the floor.
            floor = float(np.partition(approximate, -count)[-count])
            chosen = np.flatnonzero(approximate >= floor - error)
        else:
            floor, chosen = -np.inf, np.arange(len(approximate))
        cosines = exact(chosen)
        new = (cosines >= floor) & (cosines < ceiling)
        chosen, cosines = chosen[new], cosines[new]
        order = np.lexsort((chosen, -cosines))
        yield from zip(chosen[order].tolist(), cosines[order].tolist(), strict=True)
        ceiling, count = floor, 8 * count


def highest(values: Vectors, limit: int) -> Positions:
    """Positions of the highest values, descending; equal ones by position."""
    chosen = np.arange(len(values))
    if limit < len(values):
        chosen = np.flatnonzero(values >= np.partition(values, -limit)[-limit])
    return chosen[np.lexsort((chosen, -values[chosen]))][:limit]
