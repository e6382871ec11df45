"""Answers to HTTP/1.0, which knows no chunks: the connection's end is theirs (RFC 9112, 6.1)."""

from __future__ import annotations

import asyncio
from typing import Any

CHUNKED = b"transfer-encoding: chunked\r\n"


class Unchunked:
    """A transport that takes the chunks off again which uvicorn puts around each piece of a body.

    uvicorn writes the head at once, and then each piece with its size in front at once.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._in_body = self._chunked = False

    def write(self, data: bytes) -> None:
        if not self._in_body:
            self._in_body, self._chunked = True, CHUNKED in data
            data = data.replace(CHUNKED, b"")
        elif self._chunked:
            size, _, rest = data.partition(b"\r\n")
            data = rest[: int(size or b"0", 16)]
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
