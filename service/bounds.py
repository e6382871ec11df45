"""Bounds on what is parsed of a request before anything is known of it."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from service import problems
from service.errors import QueryTooLong

# Parsed parameter by parameter: 64 KB of them would hold everybody up for a tenth of a second.
MAX_QUERY_BYTES = 4 << 10


class Bounds:
    """ASGI middleware: refuses a query that is longer than any use has for it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or len(scope["query_string"]) <= MAX_QUERY_BYTES:
            await self._app(scope, receive, send)
            return
        error = QueryTooLong(
            f"the query is longer than {MAX_QUERY_BYTES} bytes",
            value=len(scope["query_string"]),
            limit=MAX_QUERY_BYTES,
        )
        await problems.answer(error)(scope, receive, send)
