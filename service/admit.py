"""Admit: what may be held and worked on at a time; beyond it the answer is 429, at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Busy


class Admission:
    """Bounds the computations in flight."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_flight = 0

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place.

        Raises
        ------
        Busy
        """
        if self.in_flight >= self._limit:
            raise Busy(
                f"{self.in_flight} computations are in flight",
                value=self.in_flight,
                limit=self._limit,
            )
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


class HeldBytes:
    """Bounds the bytes of uploads that are in memory, also of those still on their way."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def take(self, count: int) -> None:
        """Account for bytes about to be held.

        Raises
        ------
        Busy
        """
        if self.held + count > self._limit:
            raise Busy(f"{self.held} bytes of uploads are held", value=self.held, limit=self._limit)
        self.held += count

    def give(self, count: int) -> None:
        self.held -= count
