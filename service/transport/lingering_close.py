"""Lingering close: after an early answer, read on for a bounded time and size.

The wrong rule was "the answer is written, so the connection may be closed". A system that closes a
socket while bytes arrive for it sends a reset, and a reset discards the answer at the client, or
makes the client fail while it still sends. So after an answer to an incomplete request the server
only ends its own direction, and discards what arrives until the client closes.

Source: RFC 9112, section 9.6; the limits of time are those of nginx (`lingering_time`,
`lingering_timeout`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

CHUNKED = b"transfer-encoding: chunked\r\n"


@dataclass(frozen=True)
class LingerLimits:
    """What a client may still send after the answer to its request.

    Attributes
    ----------
    idle_s : maximum time between two packets
    total_s, total_bytes : maximum of all packets
    junk_bytes : as `total_bytes`, of what is no request
    """

    idle_s: float = 5.0
    total_s: float = 30.0
    total_bytes: int = 64 << 20
    junk_bytes: int = 4 << 20


class Lingering:
    """Bounds how long and how much a client sends after the answer to its request."""

    def __init__(self, transport: asyncio.Transport, limits: LingerLimits, max_bytes: int) -> None:
        self._transport, self._limits = transport, limits
        self._loop = asyncio.get_running_loop()
        self._bytes_left = max_bytes
        self._ends_s = self._loop.time() + limits.total_s
        self._is_idle = False
        self._timer = self._loop.call_later(min(limits.idle_s, limits.total_s), self._check)

    def on_data(self, data: bytes) -> None:
        self._is_idle = False
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            self._close()

    def _check(self) -> None:
        left_s = self._ends_s - self._loop.time()
        if self._is_idle or left_s <= 0:
            self._close()
        else:
            self._is_idle = True
            self._timer = self._loop.call_later(min(self._limits.idle_s, left_s), self._check)

    def _close(self) -> None:
        self.stop()
        self._transport.close()

    def stop(self) -> None:
        self._timer.cancel()


class AnswerTransport:
    """Transport as the answer to a request sees it: `close` is left to the connection."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class DechunkingTransport:
    """Transport for HTTP/1.0, which has no chunked encoding: removes uvicorn's chunk framing.

    uvicorn writes the headers in one call, and each chunk of a body with its size in one call.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self._in_body = self._chunked = False
        self.is_closing = transport.is_closing
        self.close = close

    def write(self, data: bytes) -> None:
        if not self._in_body:
            self._in_body, self._chunked = True, CHUNKED in data
            data = data.replace(CHUNKED, b"")
        elif self._chunked:
            size, _, rest = data.partition(b"\r\n")
            data = rest[: int(size or b"0", 16)]
        self._transport.write(data)
