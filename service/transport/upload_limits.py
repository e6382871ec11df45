"""Giving way: where held bytes are used up, the client that is furthest behind gives its own.

Behind what: the least pace of an upload. One that keeps to it is never behind, and is never cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from service.errors import Busy, UploadTimeout
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


# A network stalls for as long now and then.
PATIENCE_S = 1.0


class Holder(Protocol):
    """What keeps a body's bytes."""

    @property
    def held_bytes(self) -> int: ...

    def close(self) -> None:
        """Give its bytes at once."""


class Receiving:
    """A body on its way.

    Attributes
    ----------
    cut : set where its bytes were given away while its client was waited for
    """

    def __init__(self, holder: Holder, pace: Pace, waiting: set[Receiving]) -> None:
        self.pace = pace
        self.cut: UploadTimeout | None = None
        self._holder, self._waiting = holder, waiting
        self._wake: Callable[[], object] = int

    def wait(self, wake: Callable[[], object]) -> None:
        """Its client is waited for until `over`; `wake` is called where that is in vain."""
        self._wake = wake
        self.pace.wait()
        self._waiting.add(self)

    def over(self) -> None:
        self._waiting.discard(self)

    @property
    def held_bytes(self) -> int:
        return self._holder.held_bytes

    @property
    def behind_s(self) -> float:
        """How far its client is behind; 0 where it holds nothing."""
        return self.pace.behind_s if self.held_bytes else 0.0

    def give_way(self) -> None:
        behind_s = round(self.behind_s, 1)
        self.cut = UploadTimeout(
            f"the upload was {behind_s} s behind the least pace, and others needed the "
            f"{self.held_bytes} bytes that were held of it",
            value=behind_s,
            limit=PATIENCE_S,
        )
        self.over()
        self._holder.close()
        self._wake()


def to_give_way(waiting: set[Receiving], missing: int) -> list[Receiving]:
    """Those furthest behind that hold so many bytes; none where all that are behind hold fewer."""
    behind = {body: body.behind_s for body in waiting}
    slow = [body for body, seconds in behind.items() if seconds >= PATIENCE_S]
    chosen = []
    for body in sorted(slow, key=lambda each: behind[each], reverse=True):
        if missing <= 0:
            break
        chosen.append(body)
        missing -= body.held_bytes
    return chosen if missing <= 0 else []


class HeldBytes:
    """Bounds the bytes of uploads that are in memory, also of those still on their way."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: set[Receiving] = set()

    def receiving(self, holder: Holder, settings: Settings) -> Receiving:
        """A body whose bytes are taken from here, and given where others need them."""
        return Receiving(holder, Pace(settings), self._waiting)

    def take(self, count: int) -> None:
        """Account for bytes about to be held; slow clients give way.

        Raises
        ------
        Busy
        """
        if self.held + count > self.limit:
            self._make_room(self.held + count - self.limit)
        self.held += count

    def _make_room(self, missing: int) -> None:
        slow = to_give_way(self._waiting, missing)
        if not slow:
            raise Busy(f"{self.held} bytes of uploads are held", value=self.held, limit=self.limit)
        for body in slow:
            body.give_way()

    def give(self, count: int) -> None:
        self.held -= count
