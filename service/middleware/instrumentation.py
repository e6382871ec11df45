"""Observe: the application's outermost layer, through which every request and answer goes.

It gives each request its id, and when it has ended counts it, logs its line and traces it.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable
from typing import Any

from starlette.routing import BaseRoute, Route, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability.context import CURRENT, RequestContext
from service.observability.logs import ACCESS
from service.observability.metrics import Metrics
from service.observability.tracing import Traces

HEADER = b"x-request-id"
SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
MAX_PATH = 200

access = logging.getLogger(ACCESS)


class Observe:
    """Pure ASGI: it looks at messages as they pass, and holds none of them up."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, traces: Traces | None, templates: Templates
    ) -> None:
        self.app, self._metrics, self._traces = app, metrics, traces
        self._templates = templates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        context = RequestContext(request_id_of(scope["headers"]))
        before = CURRENT.set(context)
        self._metrics.running.add(context)
        try:
            await self.app(scope, _received(receive, context), _sent(send, context))
        except BaseException:
            # The id stays set: whoever called logs the traceback.
            self._end(scope, context)
            raise
        self._end(scope, context)
        CURRENT.reset(before)

    def _route_of(self, scope: Scope) -> str:
        """The route's template, as `/models/{name}`: there are only so many of them."""
        path: str | None = getattr(scope.get("route"), "path", None)
        return path or self._templates.of(scope["path"])

    def _end(self, scope: Scope, context: RequestContext) -> None:
        self._metrics.running.discard(context)
        route, ended_s = self._route_of(scope), time.perf_counter()
        self._metrics.request(route, context, ended_s - context.started_s)
        if self._traces is not None:
            self._traces.request(f"{scope['method']} {route}", context, scope, ended_s)
        if access.isEnabledFor(logging.INFO):
            fields = _fields(scope, context, route, ended_s)
            line = f"{scope['method']} {route} {context.status}"
            # Not `info`, which looks for the caller's file and line first.
            more = {"fields": fields}
            record = access.makeRecord(ACCESS, logging.INFO, "", 0, line, (), None, extra=more)
            access.handle(record)


def _received(receive: Receive, context: RequestContext) -> Receive:
    async def received() -> Message:
        message = await receive()
        context.received_bytes += len(message.get("body", b""))
        return message

    return received


def _sent(send: Send, context: RequestContext) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            context.status = message["status"]
            named = (HEADER, context.request_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), named]}
        else:
            context.sent_bytes += len(message.get("body", b""))
        await send(message)

    return sent


def request_id_of(headers: list[tuple[bytes, bytes]]) -> str:
    """What the client calls its request, where that is harmless in logs and headers; else new."""
    for name, value in headers:
        if name == HEADER and SANE_ID.fullmatch(value):
            return value.decode("ascii")
    return secrets.token_hex(16)


def _fields(scope: Scope, context: RequestContext, route: str, ended_s: float) -> dict[str, Any]:
    """What a request's line says of it."""
    client = scope.get("client")
    fields: dict[str, Any] = {
        "method": scope["method"],
        "route": route,
        "status": context.status,
        "ms": round(1e3 * (ended_s - context.started_s), 2),
        "bytes": context.received_bytes,
        "sent_bytes": context.sent_bytes,
        "client": client[0] if client else None,
    }
    if route == NO_ROUTE:
        fields["path"] = scope["path"][:MAX_PATH]
    if context.outcome != "answered":
        fields["problem"] = context.reason
    if context.models:
        fields["models"] = [model.model for model in context.models]
        fields["cached"] = context.cached
    return fields


# Of every path that has none: a client may invent as many as it likes.
NO_ROUTE = "unmatched"


class Templates:
    """The paths that there are, as `/models/{name}`."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        paths = dict.fromkeys(route.path for route in routes if isinstance(route, Route))
        self._patterns = {path: compile_path(path)[0] for path in paths}

    def of(self, path: str) -> str:
        found = (each for each, pattern in self._patterns.items() if pattern.match(path))
        return next(found, NO_ROUTE)
