"""Ended: a request that a shutdown's deadline cuts is told so, where its answer has not begun."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from service import problems
from service.errors import Stopping
from service.observability.context import current


class Ended:
    """ASGI middleware: whom uvicorn cancels it answers itself, with a 500 of plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http" or current().status:
                raise
            error = Stopping("the service ended before there was an answer")
            await problems.answer(error)(scope, receive, send)
