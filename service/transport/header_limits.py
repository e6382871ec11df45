"""Size limits on request headers, chunk framing and trailers, and the raw 431 response."""

from __future__ import annotations

from service.errors import HeadTooLarge
from service.problems import MEDIA_TYPE, describe

# Request line and headers, or a chunk's size, or trailers. Node.js and Apache allow a quarter of
# it; data is read in pieces, so that somewhat more may pass.
MAX_HEAD_BYTES = 64 << 10
# A body may come in so many pieces of any size; beyond them, in pieces of that mean size.
FREE_PIECES, MIN_PIECE_BYTES = 1000, 256


def head_too_large_response() -> bytes:
    """The raw HTTP answer 431: without a complete head no route can give it."""
    error = HeadTooLarge(
        f"the request's headers are longer than {MAX_HEAD_BYTES} bytes", limit=MAX_HEAD_BYTES
    )
    body = describe(error).model_dump_json(exclude_none=True).encode()
    head = (
        "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
        f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
