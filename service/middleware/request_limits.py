"""Bounds on what is read of a request before anything is known of it."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import TasteprintError
from service import problems
from service.errors import QueryTooLong, UnknownCoding

# Parsed parameter by parameter: 64 KB of them would hold everybody up for a tenth of a second.
MAX_QUERY_BYTES = 4 << 10


class Bounds:
    """ASGI middleware: refuses a query that is longer than any use has for it, and coded bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := _refusal(scope)):
            await problems.answer(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _refusal(scope: Scope) -> TasteprintError | None:
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        return QueryTooLong(
            f"the query is longer than {MAX_QUERY_BYTES} bytes",
            value=len(scope["query_string"]),
            limit=MAX_QUERY_BYTES,
        )
    for name, value in scope["headers"]:
        # What httptools lets pass ends with `chunked`, which it takes off, and nothing before it.
        if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            said = value[:64].decode("latin-1")
            return UnknownCoding(
                f"the body is in a transfer coding that is not read: {said}",
                value=said,
                limit="chunked",
            )
    return None
