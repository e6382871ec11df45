"""Giving way: where held bytes are used up, the client that is furthest behind gives its own.

Behind what: the least pace of an upload. One that keeps to it is never behind, and is never cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from service.errors import UploadTimeout
from service.pace import Pace

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
