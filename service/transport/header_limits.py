"""HTTP as uvicorn reads it, with a bound on what comes before, between and after a body's bytes.

uvicorn by httptools takes a header of any length, and joins its pieces in time that grows with the
square of it: 64 MB held the whole service up for 25 s.
"""

from __future__ import annotations

import re
from typing import Any

from service.errors import HeadTooLarge
from service.problems import MEDIA_TYPE, describe
from service.transport.body_delivery import DeliveringHttp

# As Node.js and Apache have it, times four; a piece is read whole, so that some more may pass.
MAX_HEAD_BYTES = 64 << 10
UPGRADE = re.compile(rb"(?<=\n)upgrade: *h2c *\r\n", re.IGNORECASE)
# Of a body: so many pieces of any size, and then so many bytes in each on average.
FREE_PIECES, LEAST_PIECE_BYTES = 1000, 256


class BoundedHttp(DeliveringHttp):
    """Ends a connection whose request line, headers, chunk sizes or trailers do not end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_body = False
        self._pieces = self._body_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data if self._in_body else without_upgrade(data))
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if not self._in_body:
                self.transport.write(refusal())
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._head_bytes, self._in_body = 0, True
        self._pieces = self._body_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        # Each piece costs, however few bytes it has, and a chunk may have one.
        self._pieces, self._body_bytes = self._pieces + 1, self._body_bytes + len(body)
        if self._pieces > FREE_PIECES + self._body_bytes // LEAST_PIECE_BYTES:
            self.transport.close()
            raise ValueError("the body comes in too many pieces")
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes, self._in_body = 0, False
        super().on_message_complete()


def without_upgrade(data: bytes) -> bytes:
    """A head that does not ask for HTTP/2: httptools takes what follows such a one for no body.

    Java's client asks so by default, and is content with an answer in HTTP/1.1 (RFC 9110, 7.8).
    """
    end = data.find(b"\r\n\r\n")
    found = UPGRADE.search(data, 0, len(data) if end < 0 else end + 2)
    return data[: found.start()] + data[found.end() :] if found else data


def refusal() -> bytes:
    """The answer that no route can give, as the request is none yet."""
    error = HeadTooLarge(
        f"the request's headers are longer than {MAX_HEAD_BYTES} bytes", limit=MAX_HEAD_BYTES
    )
    body = describe(error).model_dump_json(exclude_none=True).encode()
    head = (
        "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
        f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
