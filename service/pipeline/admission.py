"""Admit: what may be held and worked on at a time; beyond it the answer is 429, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Busy


class Admission:
    """Bounds the windows in work over all routes, from decoding to their answers.

    A request of many windows is worked on a few at a time and holds places for these alone, so
    that it cannot keep others out.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._freed = asyncio.Event()

    def check(self, windows: int = 1) -> None:
        """Refuse at once what would be refused later.

        Raises
        ------
        Busy
        """
        limit = self._limit_of(windows)
        if self.in_flight + self._places(windows) > limit:
            raise Busy(
                f"{self.in_flight} windows of audio are in work", value=self.in_flight, limit=limit
            )

    @contextmanager
    def admit(self, windows: int = 1) -> Iterator[None]:
        """Hold places for that many windows, or for as many as there are places at all.

        Raises
        ------
        Busy
        """
        self.check(windows)
        places = self._places(windows)
        self.in_flight += places
        try:
            yield
        finally:
            self.in_flight -= places
            self._freed.set()

    def _limit_of(self, windows: int) -> int:
        """Requests of many windows leave a quarter of the places to those of one."""
        return self.limit if windows == 1 else self.limit - self.limit // 4

    def _places(self, windows: int) -> int:
        return min(windows, self._limit_of(windows))

    async def room(self, windows: int = 1) -> None:
        """Wait until so many windows would be admitted: for work that is in no hurry."""
        while True:
            try:
                return self.check(windows)
            except Busy:
                self._freed.clear()
                await self._freed.wait()
