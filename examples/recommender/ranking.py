"""Recommender: songs and users in one CF space, kept current as songs and plays arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.recommender.blend import Blend, blend, unit
from examples.recommender.errors import OtherSpace, Unknown
from examples.recommender.factors import Factors, Vectors
from examples.recommender.slots import PLACES_PER_SLOT, TRIED_OUT, best, fill_slots
from examples.recommender.store import Play, Song, Store

ANEW = "PUT its audio again, with the service on the encoder of this factorisation"


@dataclass(frozen=True)
class Ranked:
    """A recommended track.

    Attributes
    ----------
    score : vector · user factor
    is_new : whether it is outside the factorisation
    """

    track_id: str
    score: float
    is_new: bool


@dataclass(frozen=True)
class Place:
    """What is known of a track.

    Attributes
    ----------
    n_listeners, n_plays : seen in the plays
    sound : weight of sound against plays, from 1 to 0; 0 of an item of the factorisation
    """

    track_id: str
    is_new: bool
    n_listeners: int
    n_plays: int
    sound: float


@dataclass(frozen=True)
class Songs:
    """New songs: their blends, (n_songs, dim), and which of them are tried out."""

    tracks: list[str]
    vectors: Vectors
    is_on_trial: NDArray[np.bool_]


class Recommender:
    """Ranks items of the factorisation, and new songs that are in the same space."""

    def __init__(self, factors: Factors, store: Store) -> None:
        self.factors, self.store = factors, store
        self._lock = threading.RLock()
        self._items = {item: row for row, item in enumerate(factors.items)}
        self._users = {user: row for row, user in enumerate(factors.users)}
        # A song that is in the factorisation by now needs its embedding no longer.
        songs = [song for song in store.songs() if song.track_id not in self._items]
        self.stale = {song.track_id: song for song in songs if song.space != factors.space}
        self._songs = {song.track_id: song for song in songs if song.space == factors.space}
        self._blends = {track: self._blend(song) for track, song in self._songs.items()}
        self._songs_matrix: Songs | None = None

    def put_song(self, song: Song) -> None:
        """Add a song, or replace it; it can be recommended at once.

        Raises
        ------
        OtherSpace
        """
        if song.space != self.factors.space:
            remedy = "set TASTEPRINT_DEFAULT_MODEL to the encoder that was fitted to it"
            name = f"the service's model {song.model}"
            raise OtherSpace(name, song.space, self.factors.space, remedy)
        with self._lock:
            self.store.put_song(song)
            self.stale.pop(song.track_id, None)
            if song.track_id not in self._items:
                self._songs[song.track_id] = song
                self._blends[song.track_id] = self._blend(song)
                self._songs_matrix = None

    def add_plays(self, plays: Sequence[Play]) -> list[str]:
        """Store plays and move the songs that they concern; the tracks without a vector."""
        with self._lock:
            self.store.add_plays(plays)
            moved = {play.track_id for play in plays}
            # A user outside the factorisation is known better now, and so are the songs they play.
            for user in {play.user_id for play in plays} - self._users.keys():
                moved |= set(self.store.played(user))
            for track in moved & self._songs.keys():
                self._blends[track] = self._blend(self._songs[track])
            self._songs_matrix = None
            return sorted(moved - self._items.keys() - self._songs.keys())

    def recommend(self, user: str, limit: int) -> list[Ranked]:
        """What a user would like best and has not played.

        Raises
        ------
        Unknown
        """
        with self._lock:
            played = self.store.played(user)
            vector = self._user_vector(user) if user in self._users else self._fold_in(played)
            if vector is None:
                remedy = "POST their plays to /plays, or what they like to /recommend"
                raise Unknown("the user", [user], remedy)
            return self._rank(vector, played, limit)

    def recommend_to(self, liked: Sequence[str], limit: int) -> list[Ranked]:
        """For a listener of these artists or tracks.

        Raises
        ------
        Unknown, OtherSpace
        """
        with self._lock:
            self._require_known(liked)
            vector = self._fold_in(liked)
            assert vector is not None  # all of them are known
            return self._rank(vector, liked, limit)

    def audience(self, track: str, limit: int) -> list[tuple[str, float]]:
        """Users of the factorisation who would like a track best and have not played it.

        Raises
        ------
        Unknown, OtherSpace
        """
        with self._lock:
            self._require_known([track])
            scores = self.factors.user_factors @ self._vector(track)
            listeners = set(self.store.listeners(track))
            order = (-scores).argsort(kind="stable")[: limit + len(listeners)]
            named = [(self.factors.users[row], float(scores[row])) for row in order]
            return [(user, score) for user, score in named if user not in listeners][:limit]

    def place(self, track: str) -> Place:
        """What is known of a track.

        Raises
        ------
        Unknown, OtherSpace
        """
        with self._lock:
            self._require_known([track])
            return Place(
                track,
                track in self._songs,
                len(self.store.listeners(track)),
                self.store.n_plays(track),
                self._blends[track].sound if track in self._songs else 0.0,
            )

    def _blend(self, song: Song) -> Blend:
        return blend(self.factors, song.embedding, self._listener_vectors(song.track_id))

    def _listener_vectors(self, track: str) -> Vectors:
        """Vectors of the listeners that have one without this song, (n, dim)."""
        vectors = [self._user_vector(user) for user in self.store.listeners(track)]
        known = [vector for vector in vectors if vector is not None]
        return np.array(known, np.float32).reshape(-1, len(self.factors.basis))

    def _user_vector(self, user: str) -> Vectors | None:
        """The user's factor; of a later user, folded in from the items of the factorisation."""
        if user in self._users:
            return np.asarray(self.factors.user_factors[self._users[user]])
        items = [self._items[track] for track in self.store.played(user) if track in self._items]
        none = np.empty((0, len(self.factors.basis)), np.float32)
        return self.factors.fold_in_user(items, none) if items else None

    def _fold_in(self, liked: Iterable[str]) -> Vectors | None:
        """Vector of a user from items and songs; None where none of them is known."""
        known = [track for track in dict.fromkeys(liked) if self._is_known(track)]
        if not known:
            return None
        songs = [track for track in known if track in self._songs]
        columns = [self._items[track] for track in known if track in self._items]
        columns += range(len(self._items), len(self._items) + len(songs))
        vectors = np.array([self._vector(track) for track in songs], np.float32)
        return self.factors.fold_in_user(columns, vectors.reshape(-1, len(self.factors.basis)))

    def _rank(self, user: Vectors, played: Iterable[str], limit: int) -> list[Ranked]:
        songs = self._matrix()
        names = [*self.factors.items, *songs.tracks]
        scores = np.concatenate([self.factors.item_factors @ user, songs.vectors @ user])
        rows = {name: row for row, name in enumerate(songs.tracks, len(self._items))} | self._items
        done = {rows[track] for track in played if track in rows}
        ranked = [row for row in best(scores, limit + len(done)) if row not in done]
        # By direction alone: every song on trial has the same chance, played or not.
        directions = np.where(songs.is_on_trial, unit(songs.vectors) @ user, -np.inf)
        nearest = [row for row in best(directions, limit + len(done)) if songs.is_on_trial[row]]
        trial = [len(self._items) + row for row in nearest]
        trial = [row for row in trial if row not in done]
        chosen = fill_slots(ranked, trial, limit // PLACES_PER_SLOT, limit)
        return [Ranked(names[row], float(scores[row]), row >= len(self._items)) for row in chosen]

    def _matrix(self) -> Songs:
        """The songs as a matrix, made again after a change."""
        if self._songs_matrix is None:
            blends = list(self._blends.values())
            vectors = np.array([known.vector for known in blends], np.float32)
            is_on_trial = np.array([known.n_listeners < TRIED_OUT for known in blends], bool)
            vectors = vectors.reshape(-1, len(self.factors.basis))
            self._songs_matrix = Songs(list(self._blends), vectors, is_on_trial)
        return self._songs_matrix

    def _vector(self, track: str) -> Vectors:
        if track in self._songs:
            return self._blends[track].vector
        return np.asarray(self.factors.item_factors[self._items[track]])

    def _is_known(self, track: str) -> bool:
        return track in self._items or track in self._songs

    def _require_known(self, tracks: Sequence[str]) -> None:
        for track in tracks:
            if track in self.stale:
                song = self.stale[track]
                name = f"the track {track}, embedded by {song.model},"
                raise OtherSpace(name, song.space, self.factors.space, ANEW)
        unknown = [track for track in tracks if not self._is_known(track)]
        if unknown:
            remedy = "PUT the audio of new songs to /tracks; items are those of the factorisation"
            raise Unknown("the tracks or artists", unknown, remedy)
