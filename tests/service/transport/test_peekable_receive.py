"""Messages are read ahead without being consumed, and their bytes count when they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from starlette.types import Message

from service.observability.context import CURRENT, RequestContext
from service.transport.peekable_receive import PeekableReceive


def test_peeked_messages_are_received_in_order_and_counted_once() -> None:
    bodies: Iterator[bytes] = iter([b"one", b"three", b"seven.."])

    async def receive() -> Message:
        return {"type": "http.request", "body": next(bodies), "more_body": True}

    async def scenario() -> RequestContext:
        context = RequestContext("id")
        CURRENT.set(context)
        peekable = PeekableReceive(receive)
        assert (await peekable.peek())["body"] == b"one"
        assert (await peekable.peek())["body"] == b"three"
        assert context.received_bytes == 8  # also before anything is consumed
        received = [(await peekable.receive())["body"] for _ in range(3)]
        assert received == [b"one", b"three", b"seven.."]
        return context

    assert asyncio.run(scenario()).received_bytes == 15
