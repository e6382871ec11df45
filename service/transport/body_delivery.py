"""Delivery: a body's pieces go to who asks for them as they come in, past the ASGI `receive`.

Through `receive` each quarter of a megabyte is copied twice, sets an event, passes a task and every
middleware, and stops and starts the connection's reading: a fifth of what a remembered answer to
a song costs. Where a server offers no such thing, the body comes through `receive`.

A body of a stated length has nothing to parse either. The parser, which would copy it, is left out,
and a new one reads what follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION = "tasteprint.delivery"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
INVALID = "Invalid HTTP request received."


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


def stated_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """`Content-Length`; 0 where there is none. The parser lets blanks and leading zeros pass."""
    stated = next((value for name, value in headers if name == b"content-length"), b"")
    return int(stated.strip().lstrip(b"0")[:20] or 0)


def new_parser(protocol: HttpToolsProtocol) -> httptools.HttpRequestParser:
    """As uvicorn makes its own: what comes behind a connection's last request is passed over."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class DeliveringHttp(HttpToolsProtocol):
    """Offers it to each request. One is answered at a time: what comes is the body of that one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiver: Receiver | None = None
        self._at_once = 0
        self._came = 0
        # Of a body that the parser is not given.
        self._left = 0

    def data_received(self, data: bytes) -> None:
        if not self._left:
            super().data_received(data)
            return
        self._unset_keepalive_if_required()  # the answer may have been given before the body's end
        body, after = data[: self._left], data[self._left :]
        self._left -= len(body)
        try:
            self.on_body(body)
        except ValueError:  # as where the parser calls it
            self.logger.warning(INVALID)
            self.send_400_response(INVALID)
            return
        if not self._left:
            self.parser = new_parser(self)
            self.on_message_complete()
            if after:
                self.data_received(after)

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
            if cycle.keep_alive:  # else the parser knows that nothing follows
                self._left = max(0, stated_length(cycle.scope["headers"]) - self._came)
            self.flow.resume_reading()

    def on_headers_complete(self) -> None:
        self._came = 0
        self.scope["extensions"] = {EXTENSION: {"deliver": self.deliver}}
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._came += len(body)
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
