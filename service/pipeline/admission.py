"""Admission control: bounds the windows in flight; requests beyond the limit get 429."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Busy


class Admission:
    """Bounds the windows in work over all routes, from decoding to their answers.

    A request of many windows works on a few at a time and holds places for these few alone, so that
    it cannot keep other requests out.

    Attributes
    ----------
    limit : places
    in_flight : places that are taken
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._freed = asyncio.Event()

    def check(self, n_windows: int = 1) -> None:
        """Refuse what `admit` would refuse.

        Raises
        ------
        Busy
        """
        limit = self._limit_of(n_windows)
        if self.in_flight + min(n_windows, limit) > limit:
            raise Busy(
                f"{self.in_flight} windows of audio are in work", value=self.in_flight, limit=limit
            )

    @contextmanager
    def admit(self, n_windows: int = 1) -> Iterator[None]:
        """Hold a place for each window, or as many places as there are at all.

        Raises
        ------
        Busy
        """
        self.check(n_windows)
        places = min(n_windows, self._limit_of(n_windows))
        self.in_flight += places
        try:
            yield
        finally:
            self.in_flight -= places
            self._freed.set()

    def _limit_of(self, n_windows: int) -> int:
        """Requests of many windows leave a quarter of the places to those of one window."""
        return self.limit if n_windows == 1 else self.limit - self.limit // 4

    async def wait_for_room(self, n_windows: int = 1) -> None:
        """Wait until `n_windows` would be admitted: for a batch, which is in no hurry."""
        while True:
            try:
                return self.check(n_windows)
            except Busy:
                self._freed.clear()
                await self._freed.wait()
