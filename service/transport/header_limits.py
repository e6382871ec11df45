"""Size limits on request headers, chunk framing and trailers, and the raw 431 response."""

from __future__ import annotations

from http import HTTPStatus

from models.errors import TasteprintError
from service.errors import HeadTooLarge, MalformedRequest
from service.problems import MEDIA_TYPE, describe

# Of request line and headers, of a chunk's framing, or of trailers. Node.js and Apache allow a
# quarter of this; data is read in chunks, so that somewhat more may pass.
MAX_HEADER_BYTES = 64 << 10
# A body may arrive in this many chunks of any size; beyond them the mean size has a minimum.
FREE_CHUNKS, MIN_CHUNK_BYTES = 1000, 256


def headers_too_large_response() -> bytes:
    """The raw HTTP response 431, since no route can answer a request with incomplete headers."""
    return _raw_response(
        HeadTooLarge(
            f"the request's headers are longer than {MAX_HEADER_BYTES} bytes",
            limit=MAX_HEADER_BYTES,
        )
    )


def malformed_request_response() -> bytes:
    """The raw HTTP response 400 to bytes that are not a request of HTTP/1.1."""
    return _raw_response(MalformedRequest("the bytes that arrived are not an HTTP/1.1 request"))


def _raw_response(error: TasteprintError) -> bytes:
    problem = describe(error)
    body = problem.model_dump_json(exclude_none=True).encode()
    status = HTTPStatus(problem.status)
    headers = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\n"
        f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return headers.encode() + body
