"""Delivery: a body's pieces go to who asks for them as they come in, past the ASGI `receive`.

Through `receive` each quarter of a megabyte is copied twice, sets an event, passes a task and every
middleware, and stops and starts the connection's reading: a fifth of what a remembered answer to
a song costs. Where a server offers no such thing, the body comes through `receive`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION = "tasteprint.delivery"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Receiver(Protocol):
    """Who asks for a body; it may not raise."""

    def piece(self, data: bytes) -> None:
        """The next bytes."""

    def end(self) -> None:
        """There are no more."""

    def left(self) -> None:
        """The client has left before the end."""


# In one turn of the loop: it reads a connection on and on, while others wait.
MOST_AT_ONCE = 512 << 10

Deliver = Callable[[Receiver], None]


def delivers(scope: Scope) -> Deliver | None:
    """What has the body delivered from now on; None where the server has no such thing."""
    offered: dict[str, Deliver] = scope.get("extensions", {}).get(EXTENSION, {})
    return offered.get("deliver")


class DeliveringHttp(HttpToolsProtocol):
    """Offers it to each request. One is answered at a time: what comes is the body of that one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiver: Receiver | None = None
        self._at_once = 0

    def deliver(self, receiver: Receiver) -> None:
        cycle = self.cycle
        if cycle.waiting_for_100_continue and not self.transport.is_closing():
            cycle.waiting_for_100_continue = False
            self.transport.write(CONTINUE)
        if cycle.body:
            there, cycle.body = bytes(cycle.body), bytearray()
            receiver.piece(there)
        if cycle.disconnected:
            receiver.left()
        elif not cycle.more_body:
            receiver.end()
        else:
            self._receiver = receiver
            self.flow.resume_reading()

    def on_headers_complete(self) -> None:
        self.scope["extensions"] = {EXTENSION: {"deliver": self.deliver}}
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._receiver is None:
            super().on_body(body)
            return
        self._receiver.piece(body)
        self._at_once += len(body)
        if self._at_once >= MOST_AT_ONCE:
            self._at_once = 0
            self.flow.pause_reading()
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver.end()

    def on_response_complete(self) -> None:
        self._receiver = None  # an answer that needed no more of the body
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver.left()
