"""Ahead: a body's next messages are looked at before they are read, to see its client leave.

Whoever waits for something else than the body would not notice it: the server tells of it behind
the last byte.
"""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import Message, Receive

# As much as the server takes in before it makes a client wait. That one has left who had more to
# send is seen when his next bytes are read.
MAX_BYTES = 256 << 10


class Ahead:
    """What a request receives: `look` at the messages to come, `receive` them for good."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: deque[Message] = deque()

    async def receive(self) -> Message:
        return self._messages.popleft() if self._messages else await self._receive()

    async def look(self) -> Message:
        """The next message that nobody has looked at; none comes while too much is kept."""
        if sum(len(each.get("body", b"")) for each in self._messages) >= MAX_BYTES:
            await asyncio.Event().wait()
        self._messages.append(await self._receive())
        return self._messages[-1]
