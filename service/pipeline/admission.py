"""Admission control: bounds the windows in flight; requests beyond the limit get 429."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Busy


class Admission:
    """Admission control: bounds the windows in flight of all routes, from decoding to the answer.

    A request of many windows works on a few at a time and holds slots for these few only, so that
    it cannot keep other requests out.

    Attributes
    ----------
    limit : number of slots
    in_flight : slots in use
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._freed = asyncio.Event()

    def check(self, n_windows: int = 1) -> None:
        """Raise where `admit` would.

        Raises
        ------
        Busy
        """
        limit = self._limit_of(n_windows)
        if self.in_flight + min(n_windows, limit) > limit:
            raise Busy(
                f"the number of windows in flight is {self.in_flight}, the limit is {limit}",
                value=self.in_flight,
                limit=limit,
            )

    @contextmanager
    def admit(self, n_windows: int = 1) -> Iterator[None]:
        """Hold a slot for each window, at most as many as a request may hold.

        Raises
        ------
        Busy
        """
        self.check(n_windows)
        n_slots = min(n_windows, self._limit_of(n_windows))
        self.in_flight += n_slots
        try:
            yield
        finally:
            self.in_flight -= n_slots
            self._freed.set()

    def _limit_of(self, n_windows: int) -> int:
        """Requests of several windows leave a quarter of the slots to requests of one window."""
        return self.limit if n_windows == 1 else self.limit - self.limit // 4

    async def wait_for_room(self, n_windows: int = 1) -> None:
        """Wait until `n_windows` would be admitted: for a batch, which may wait."""
        while True:
            try:
                return self.check(n_windows)
            except Busy:
                self._freed.clear()
                await self._freed.wait()
