"""The end-to-end scenario: new songs find their listeners, and each service is killed."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from tests.compose import Composition

LIMIT = 10
# Users asked of each song: enough to tell its listeners from others.
MAX_ASKED = 15
MAX_AUDIENCE = 1000


@dataclass(frozen=True)
class Scenario:
    """Songs that the recommender does not know, and who will like them.

    Attributes
    ----------
    songs : track id → audio
    listeners : track id → users of the factorisation
    users : all users of the factorisation
    """

    composition: Composition
    http: httpx.Client
    songs: dict[str, bytes]
    listeners: dict[str, list[str]]
    users: list[str]

    def run(self) -> None:
        tracks = list(self.songs)
        for track in tracks[::2]:
            self._put(track)
        self.composition["redis"].kill()  # only a cache
        for track in tracks[1::2]:
            self._put(track)
        self._restart("redis")
        own, others = self.shares_shown()
        assert mean(own) > 2 / len(tracks), "no better than chance: one place, and so many songs"
        assert mean(own) > 1.5 * mean(others)
        track = max(tracks, key=lambda track: len(self.listeners[track]))
        after = self._play(track)
        self.composition["recommender"].kill()
        self._restart("recommender")
        assert self._audience(track) == after
        self._put(tracks[0])

    def shares_shown(self) -> tuple[list[float], list[float]]:
        """Share of each song's listeners, and of other users, who have it among their first ten."""
        own, others = [], []
        for track, listeners in self.listeners.items():
            strangers = [user for user in self.users if user not in set(listeners)]
            own.append(self._share_shown(track, listeners))
            others.append(self._share_shown(track, strangers))
        return own, others

    def _play(self, track: str) -> list[str]:
        """Half of the listeners play a song without the service; the others come nearer."""
        listeners = self.listeners[track]
        seen, rest = listeners[::2], listeners[1::2]
        before = self._audience(track)
        self.composition["service"].kill()
        plays = [{"user": user, "track": track} for user in seen]
        assert self.http.post("/plays", json={"plays": plays}).status_code == 200
        after = self._audience(track)
        assert not set(seen) & set(after)
        assert mean_rank(after, rest) < mean_rank(before, rest)
        place = self.http.get(f"/tracks/{track}").json()
        assert place["n_listeners"] == len(seen)
        assert place["sound"] < 0.9
        self._restart("service")
        return after

    def _put(self, track: str) -> None:
        answer = self.http.put(f"/tracks/{track}", content=self.songs[track])
        assert answer.status_code == 200, answer.text

    def _share_shown(self, track: str, users: list[str]) -> float:
        asked = users[:: max(1, len(users) // MAX_ASKED)][:MAX_ASKED]
        return mean([track in self._shown(user) for user in asked])

    def _shown(self, user: str) -> set[str]:
        answer = self.http.get(f"/recommend/{user}", params={"limit": LIMIT}).json()
        return {track["track_id"] for track in answer["recommendations"]}

    def _audience(self, track: str) -> list[str]:
        """Users who have not played a song, the likeliest first."""
        answer = self.http.get(f"/audience/{track}", params={"limit": MAX_AUDIENCE}).json()
        return [entry["user"] for entry in answer["users"]]

    def _restart(self, name: str) -> None:
        self.composition[name].start()
        self.composition[name].wait_until_healthy()


def mean(values: list[float] | list[int] | list[bool]) -> float:
    return sum(values) / len(values)


def mean_rank(audience: list[str], users: list[str]) -> float:
    ranks = {user: rank for rank, user in enumerate(audience)}
    return mean([ranks.get(user, len(audience)) for user in users])
