"""Pairs of clips of a user: one by an artist that the user played, one by an artist unheard.

The paper does not say what a disliked track is, and logs hold no dislikes. Here the disliked clip
is by an artist whom the user never played, drawn by the number of the artist's listeners: a user
has more likely met a popular artist and passed it over than an obscure one. The liked artist comes
up by its number of listeners as well, since the entries of the logs are drawn uniformly: were the
two drawn otherwise, the encoder would learn what is popular, whoever the user is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from training.cf.logs import Logs
from training.errors import NoPairsToTrain
from training.objectives.groups import Group, GroupDraws


@dataclass(frozen=True)
class Listeners:
    """Users with a vector, and which artists each has played.

    Attributes
    ----------
    vectors : float32, shape (n_users, dim)
    played : bool, shape (n_users, n_artists)
    artists : keys of the artists
    """

    vectors: NDArray[np.float32]
    played: NDArray[np.bool_]
    artists: pd.Index


def find_listeners(
    clips: pd.DataFrame, logs: Logs, users: pd.Index, vectors: NDArray[np.float32]
) -> Listeners:
    """The listeners of the artists of some clips; an artist may have several items.

    Parameters
    ----------
    clips : with `item_id` and `artist`, the artist's key
    users : ids of the rows of `vectors`; those that are not in the logs are left out
    """
    rows = logs.users.get_indexer(users)
    known = np.flatnonzero(rows >= 0)
    named = clips.drop_duplicates(["item_id", "artist"])
    columns = logs.items.get_indexer(pd.Index(named["item_id"]))
    is_known = columns >= 0
    codes, artists = pd.factorize(named["artist"][is_known], sort=True)
    by_item = logs.user_items[rows[known]][:, columns[is_known]] > 0
    shape = len(codes), len(artists)
    to_artist = sparse.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape)
    played = (by_item @ to_artist).toarray() > 0
    return Listeners(vectors[known], played, pd.Index(artists))


class PreferenceDraws(GroupDraws):
    """Groups of two crops, liked and disliked, with the vector of their user, (dim,).

    Each pair is of an entry of the logs, drawn uniformly: a user, an artist that the user played,
    and a clip of that artist. An epoch has as many pairs as there are clips with a listener who has
    not played all artists. Both clips are of the same part, so that a validation is on unheard
    artists.

    Parameters
    ----------
    clips : of one part: `row`, and `artist`, the artist's key
    listeners : of the artists of these clips
    part : for messages

    Raises
    ------
    NoPairsToTrain
    """

    group_size = 2

    def __init__(self, clips: pd.DataFrame, listeners: Listeners, part: str) -> None:
        self.listeners = listeners
        self.rows = clips["row"].to_numpy(np.int64)
        self.artists = listeners.artists.get_indexer(pd.Index(clips["artist"]))
        self.popularity = listeners.played.sum(0).astype(np.float64)
        # Users who have an artist of the part to dislike.
        is_able = ~listeners.played @ (self.popularity > 0)
        entries = listeners.played & is_able[:, None]
        self.entries = np.argwhere(entries)  # (n_entries, 2): user, artist
        is_liked = np.append(entries.any(0), False)  # -1: unknown
        self.n_pairs = int(is_liked[self.artists].sum())
        self.clips_of = pd.Series(np.arange(len(clips))).groupby(self.artists).indices
        if not self.n_pairs:
            raise NoPairsToTrain(part, len(clips))

    def __len__(self) -> int:
        return self.n_pairs

    def draw_pair(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """User, liked clip and disliked clip: positions in the listeners and the clips."""
        user, liked = self.entries[rng.integers(len(self.entries))]
        weights = np.where(self.listeners.played[user], 0, self.popularity)
        disliked = rng.choice(len(weights), p=weights / weights.sum())
        first, second = (int(rng.choice(self.clips_of[artist])) for artist in (liked, disliked))
        return int(user), first, second

    def draw(self, index: int, rng: np.random.Generator) -> Group:
        user, liked, disliked = self.draw_pair(rng)
        return Group(self.rows[[liked, disliked]], (self.listeners.vectors[user],))

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return self.rows, self.artists, self.listeners.played, self.listeners.vectors
