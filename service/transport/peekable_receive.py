"""Peekable ASGI receive: read messages ahead without consuming them."""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import Message, Receive

from service.observability.context import current

# About what the server buffers before it pauses reading. Beyond it a disconnect is noticed only
# when the next message is received.
MAX_BYTES = 256 << 10


class PeekableReceive:
    """Peekable ASGI receive: `peek` reads messages ahead, `receive` consumes them in order.

    Bytes count as received by the request when they arrive, whether or not they are consumed.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: deque[Message] = deque()

    async def receive(self) -> Message:
        return self._messages.popleft() if self._messages else await self._next()

    async def peek(self) -> Message:
        """The next message not peeked at yet; waits forever while `MAX_BYTES` are buffered."""
        if sum(len(message.get("body", b"")) for message in self._messages) >= MAX_BYTES:
            await asyncio.Event().wait()
        self._messages.append(await self._next())
        return self._messages[-1]

    async def _next(self) -> Message:
        message = await self._receive()
        current().received_bytes += len(message.get("body", b""))
        return message
