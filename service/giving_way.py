"""Giving way: where held bytes are used up, the client that is furthest behind gives its own.

Behind what: the least pace of an upload. One that keeps to it is never behind, and is never cut.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from service.errors import UploadTimeout

# A network stalls for as long now and then.
PATIENCE_S = 1.0


class Holder(Protocol):
    """What keeps a body's bytes."""

    @property
    def held_bytes(self) -> int: ...

    def close(self) -> None:
        """Give its bytes at once."""


class Receiving:
    """A body on its way; as a context, the time in which its client is waited for.

    Attributes
    ----------
    until : the end of that time, to be set before

    Raises
    ------
    UploadTimeout
        At the context's end, where the bytes were given away meanwhile.
    """

    def __init__(self, holder: Holder, patience_s: float, waiting: set[Receiving]) -> None:
        self.until = asyncio.timeout_at(None)
        self._holder, self._patience_s, self._waiting = holder, patience_s, waiting
        self._cut: UploadTimeout | None = None
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        self._waiting.add(self)

    def __exit__(self, *_: object) -> None:
        self._waiting.discard(self)
        if self._cut is not None:
            raise self._cut

    @property
    def behind_s(self) -> float:
        """How much of the patience with its client is used up; 0 where it holds nothing."""
        end_s = self.until.when()
        if end_s is None or not self._holder.held_bytes:
            return 0.0
        return self._patience_s - (end_s - self._loop.time())

    def give_way(self) -> None:
        behind_s = round(self.behind_s, 1)
        self._cut = UploadTimeout(
            f"the upload was {behind_s} s behind the least pace, and others needed the "
            f"{self._holder.held_bytes} bytes that were held of it",
            value=behind_s,
            limit=PATIENCE_S,
        )
        self._holder.close()
        if not self.until.expired():
            self.until.reschedule(self._loop.time())


def furthest_behind(waiting: set[Receiving]) -> Receiving | None:
    """The one to give way; None where no client has been slow for long enough."""
    slowest = max(waiting, key=lambda body: body.behind_s, default=None)
    return slowest if slowest is not None and slowest.behind_s >= PATIENCE_S else None
