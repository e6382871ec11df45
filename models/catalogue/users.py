"""Users of a CF space, ranked for a song."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.catalogue.search import Vectors, highest, unit


@dataclass(frozen=True)
class Listener:
    """A user and how well a song fits.

    Attributes
    ----------
    score : user factor · vector of the song, of length 1: to be compared for one song alone
    rank : 1 for the user who is most likely to like it
    percentile : share of the users with a lower rank, from 0 to 100
    """

    user_id: str
    score: float
    rank: int
    percentile: float


@dataclass(frozen=True, eq=False)
class Users:
    """Users with their factors.

    Attributes
    ----------
    ids : n ids
    factors : float32, shape (n, dim)
    """

    ids: pa.Array
    factors: Vectors

    def __len__(self) -> int:
        return len(self.factors)

    def rank(self, songs: Vectors, limit: int) -> list[Listener]:
        """The users most likely to like songs, the likeliest first.

        Nothing is subtracted from a song's vector: its common part with all others says who listens
        to much. User AUC of 389 held-out artists is 0.836 so, and 0.793 with the mean subtracted
        (`docs/catalogue.md`).

        Parameters
        ----------
        songs : as predicted, or item factors, shape (n_songs, dim); their directions count alike
        """
        scores = self.factors @ unit(songs).mean(0)  # (n, dim) -> (n,)
        return [
            Listener(
                user_id=self.ids[position].as_py(),
                score=float(scores[position]),
                rank=rank,
                percentile=100 * (1 - rank / len(self)),
            )
            for rank, position in enumerate(map(int, highest(scores, limit)), 1)
        ]


def make_users(ids: list[str], factors: Vectors) -> Users:
    return Users(pa.array(ids, pa.string()), np.ascontiguousarray(factors, np.float32))
