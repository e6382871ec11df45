"""HTTP/1.1 protocol: uvicorn's, with connection limits and direct body delivery.

Everything that relies on undocumented attributes of uvicorn is in this file; `uvicorn_contract`
lists these attributes and checks them at the start.

Direct body delivery: the chunks of a body go to a `BodyReceiver` as they arrive, bypassing the ASGI
`receive`. Through `receive` each 256 KiB is copied twice, sets an event, passes a task and every
middleware, and pauses and resumes reading: a fifth of the cost of answering a song from the cache.
A body with a Content-Length needs no parsing either: it bypasses the parser, which would copy it,
and a new parser reads what follows the body.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.transport.body import DELIVERY_EXTENSION, BodyReceiver, content_length
from service.transport.connection_limits import ConnectionLimits
from service.transport.header_limits import (
    FREE_CHUNKS,
    MAX_HEADER_BYTES,
    MIN_CHUNK_BYTES,
    headers_too_large_response,
    malformed_request_response,
)
from service.transport.lingering_close import AnswerTransport, DechunkingTransport, Lingering

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
INVALID = "Invalid HTTP request received."
# uvloop keeps reading from one socket while it has data; after this many bytes others get a turn.
MAX_BYTES_PER_TURN = 512 << 10
H2C_UPGRADE = re.compile(rb"(?<=\n)upgrade: *h2c *\r\n", re.IGNORECASE)


class BoundedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 connection: limits headers, chunks and idle time; answers one request at a time.

    A pipelined request, sent before the previous one is answered, is not read (uvicorn would queue
    any number of them), and the connection closes after the answer: clients that pipeline have to
    expect this (RFC 9112, section 9.3.2), and no current client pipelines.

    uvicorn with httptools reads a header of any length, in time quadratic in the length: 64 MB
    blocked the service for 25 s.
    """

    def __init__(self, limits: ConnectionLimits, **uvicorn_arguments: Any) -> None:
        super().__init__(**uvicorn_arguments)
        self._limits = limits
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._answering = False  # a request's headers are complete and the answer is not
        self._ignores_input = False  # after a pipelined request
        self._header_bytes = 0  # bytes since the last byte of a body, or since the last request
        self._in_body = False
        self._chunks = self._body_bytes = 0
        self._receiver: BodyReceiver | None = None
        self._unparsed_bytes = 0  # remaining bytes of a body that bypasses the parser
        self._turn_bytes = 0
        self._lingering: Lingering | None = None  # from an early answer to the end of the body
        self._is_closing = False  # after the answer to the last request: input is discarded

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limits.idle[self.transport] = None
        self._start_header_timer()
        if len(self.connections) > self._limits.max_connections:
            next(iter(self._limits.idle)).abort()  # may be this connection

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.idle.pop(self.transport, None)
        self._stop_header_timer()
        self._stop_lingering()
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().connection_lost(exc)
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver.on_disconnect()

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None:
            self._lingering.on_data(data)
            if self._is_closing or self.transport.is_closing():
                return
        if self._ignores_input:
            return
        if not self._answering and self._header_timer is None and self._lingering is None:
            self._start_header_timer()
        self._header_bytes += len(data)
        if self._unparsed_bytes:
            self._receive_unparsed(data)
        else:
            super().data_received(data if self._in_body else without_h2c_upgrade(data))
        if self._header_bytes > MAX_HEADER_BYTES and not self._is_closing:
            self._refuse_headers()

    def _refuse_headers(self) -> None:
        if self.transport.is_closing() or self._in_body:  # trailers, or the framing of a chunk
            self.transport.close()
        elif self._answering:
            self._ignore_input()
        else:
            self.transport.write(headers_too_large_response())
            self._linger_and_close(self._limits.linger.junk_bytes)

    def _ignore_input(self) -> None:
        """Read no request after the current one, and close after its answer."""
        self._ignores_input = True
        self.cycle.keep_alive = False

    def _receive_unparsed(self, data: bytes) -> None:
        # As uvicorn does: the answer may have been sent before the end of the body.
        self._unset_keepalive_if_required()
        body, following = data[: self._unparsed_bytes], data[self._unparsed_bytes :]
        self._unparsed_bytes -= len(body)
        try:
            self.on_body(body)
        except ValueError:  # as where the parser calls `on_body`
            self.logger.warning(INVALID)
            self.send_400_response(INVALID)
            return
        if not self._unparsed_bytes:
            self.parser = new_parser(self)
            self.on_message_complete()
            if following:
                self.data_received(following)

    # Callbacks of the parser.

    def on_headers_complete(self) -> None:
        self._header_bytes = 0
        if self._answering:
            self._ignore_input()
        if self._ignores_input:
            return
        self._answering = self._in_body = True
        self._chunks = self._body_bytes = 0
        self._limits.idle.pop(self.transport, None)
        self._stop_header_timer()
        self._unset_keepalive_if_required()  # set anew at the end of a refused body
        self.scope["extensions"] = {DELIVERY_EXTENSION: {"deliver": self.deliver}}
        super().on_headers_complete()
        if not self.cycle:
            return
        seen_by_answer: object = AnswerTransport(self.transport, self._close)
        if self.scope["http_version"] == "1.0":
            self.cycle.waiting_for_100_continue = False  # to be ignored (RFC 9110, 10.1.1)
            seen_by_answer = DechunkingTransport(self.transport, self._close)
        self.cycle.transport = cast(asyncio.Transport, seen_by_answer)

    def on_body(self, body: bytes) -> None:
        if self._ignores_input:
            return
        self._header_bytes = 0
        # Each chunk has a fixed cost, and a client may send chunks of a single byte.
        self._chunks, self._body_bytes = self._chunks + 1, self._body_bytes + len(body)
        if self._chunks > FREE_CHUNKS + self._body_bytes // MIN_CHUNK_BYTES:
            self.transport.close()
            raise ValueError("the body arrives in too many chunks")
        if self._receiver is None:
            super().on_body(body)
            return
        self._receiver.on_data(body)
        self._turn_bytes += len(body)
        if self._turn_bytes >= MAX_BYTES_PER_TURN:
            self._turn_bytes = 0
            self.flow.pause_reading()
            self.loop.call_soon(self._resume_reading)

    def on_message_complete(self) -> None:
        if self._ignores_input:
            return
        self._header_bytes, self._in_body = 0, False
        super().on_message_complete()
        if self._lingering is not None:  # the connection is idle from now on
            self._stop_lingering()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver.on_end()

    # Calls of the request's cycle and of the application.

    def deliver(self, receiver: BodyReceiver) -> None:
        """Deliver the body to this receiver from now on (the ASGI extension of each request)."""
        cycle = self.cycle
        if cycle.waiting_for_100_continue and not self.transport.is_closing():
            cycle.waiting_for_100_continue = False
            self.transport.write(CONTINUE)
        if cycle.body:
            received, cycle.body = bytes(cycle.body), bytearray()
            receiver.on_data(received)
        if cycle.disconnected:
            receiver.on_disconnect()
        elif not cycle.more_body:
            receiver.on_end()
        else:
            self._receiver = receiver
            if cycle.keep_alive:  # else the parser has to know that no further request follows
                length = content_length(cycle.scope["headers"])
                self._unparsed_bytes = max(0, length - self._body_bytes)
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        self._answering = False
        self._limits.idle[self.transport] = None
        self._receiver = None  # the answer needed no more of the body
        super().on_response_complete()
        if self._in_body and not self.transport.is_closing():
            self._linger(self._limits.linger.total_bytes)
        if self._lingering is not None:
            self._unset_keepalive_if_required()

    # The end of a connection.

    def _close(self) -> None:
        """Close after an answer; at once where the request is complete."""
        if self._in_body or self._ignores_input:
            self._linger_and_close(self._limits.linger.total_bytes)
        else:
            self.transport.close()

    def _linger_and_close(self, max_bytes: int) -> None:
        """End the answers; what arrives is discarded until the client closes."""
        if self.transport.is_closing():
            return
        self._is_closing = True
        self._stop_header_timer()
        self._linger(max_bytes)
        if self.transport.can_write_eof():
            self.transport.write_eof()  # for clients that read up to the end
        self.flow.resume_reading()

    def _linger(self, max_bytes: int) -> None:
        if self._lingering is None:
            self._lingering = Lingering(self.transport, self._limits.linger, max_bytes)

    def _stop_lingering(self) -> None:
        if self._lingering is not None:
            self._lingering.stop()
            self._lingering = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request; the request in progress, if any, is given up."""
        if self._answering:
            super().send_400_response(msg)
        elif not self._is_closing:
            self.transport.write(malformed_request_response())
            self._linger_and_close(self._limits.linger.junk_bytes)

    # Flow control.

    def pause_writing(self) -> None:
        """The client does not read its answer: abort the connection after the time limit."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _resume_reading(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(self._limits.head_timeout_s, self.transport.abort)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


def new_parser(protocol: HttpToolsProtocol) -> httptools.HttpRequestParser:
    """A parser configured as uvicorn's: data after the last request of a connection is ignored."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def without_h2c_upgrade(data: bytes) -> bytes:
    """Remove an upgrade to HTTP/2 from the headers: httptools would read no body after it.

    Java's client asks for the upgrade by default, and accepts an answer in HTTP/1.1 (RFC 9110,
    section 7.8).
    """
    end = data.find(b"\r\n\r\n")
    found = H2C_UPGRADE.search(data, 0, len(data) if end < 0 else end + 2)
    return data[: found.start()] + data[found.end() :] if found else data
