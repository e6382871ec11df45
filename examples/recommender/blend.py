"""Blend of sound and plays: fold-in with the prediction as prior mean.

The figures are of examples/recommender/README.md: chosen on held-out artists, judged on others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.recommender.factors import Factors, Vectors

# Weight of sound: with it, sound counts as about three listeners.
PRIOR_PRECISION = 0.3


@dataclass(frozen=True, eq=False)
class Blend:
    """Vector of a song, from its sound and the listeners it has so far.

    Attributes
    ----------
    vector : shape (dim,), in the space of the factorisation. Its length grows with the listeners,
        as that of a factor does: a song that nobody has played is as short as one of two listeners
    sound : weight of sound against plays, from 1 without listeners to 0
    n_listeners : whom it is from
    """

    vector: Vectors
    sound: float
    n_listeners: int


def blend(
    factors: Factors, embedding: Vectors, listeners: Vectors, precision: float = PRIOR_PRECISION
) -> Blend:
    """Fold in the listeners, with the direction of the embedding as prior mean.

    Parameters
    ----------
    embedding : predicted from the sound, shape (dim,); of any length
    listeners : factors of the listeners, shape (n_listeners, dim)
    """
    mean = prior_mean(factors, embedding)
    vector = factors.fold_in_item(listeners, mean, precision)
    no_prior = np.zeros_like(mean)
    plays = factors.fold_in_item(listeners, no_prior, precision)  # the part that is linear in them
    # The two parts sum to the vector; each counts by its share along it.
    share = float((vector - plays) @ vector / (vector @ vector))
    return Blend(vector, min(max(share, 0.0), 1.0), len(listeners))


def prior_mean(factors: Factors, embedding: Vectors) -> Vectors:
    """The direction of the embedding, as long as the factor of a known item."""
    return unit(embedding) * np.float32(factors.prior_length)


def unit(vectors: Vectors) -> Vectors:
    """Rows of unit length."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
