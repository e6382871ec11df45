"""Pace: until when the next bytes of a body must come."""

from __future__ import annotations

import asyncio

from service.errors import UploadTimeout
from service.settings import Settings


class Pace:
    """The time that a client has left: its patience, less what it is behind the least pace.

    A quick beginning buys no slow end, and our own slowness is not the client's.

    Attributes
    ----------
    until : on the loop's clock
    size : bytes that came
    """

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.get_running_loop()
        self._least_per_s = settings.min_upload_bytes_per_s
        self._patience_s = self._left_s = settings.upload_timeout_s
        self.until = self._loop.time() + self._patience_s
        self.size = 0

    @property
    def behind_s(self) -> float:
        """How much of the patience is used up."""
        return self._patience_s - (self.until - self._loop.time())

    def took(self, count: int) -> None:
        """So many bytes came: the clock stands still until `wait`."""
        self.size += count
        left_s = self.until - self._loop.time() + count / self._least_per_s
        self._left_s = min(left_s, self._patience_s)

    def wait(self) -> None:
        """Wait for the client again."""
        self.until = self._loop.time() + self._left_s

    def stalled(self) -> UploadTimeout:
        """What is wrong where the time is over."""
        limit_s, pace = self._patience_s, self._least_per_s
        if self._left_s == limit_s:
            return UploadTimeout(f"nothing came for {limit_s:g} s", limit=limit_s)
        return UploadTimeout(
            f"{self.size} bytes came, at less than {pace} bytes a second",
            value=self.size,
            limit=pace,
        )
