"""Request recorder: metrics, trace spans and access-log line of each ended request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from service.observability.context import RequestContext
from service.observability.logs import ACCESS
from service.observability.metrics import Metrics
from service.observability.tracing import SpanExporter

MAX_PATH_CHARS = 200
# Route label of unmatched paths, since a client may invent any number of paths.
NO_ROUTE = "unmatched"

access = logging.getLogger(ACCESS)


class RequestRecorder:
    """Request recorder: writes each ended request to metrics, trace spans and the access log.

    Attributes
    ----------
    running : contexts of the requests in progress
    """

    def __init__(
        self, metrics: Metrics, span_exporter: SpanExporter | None, templates: RouteTemplates
    ) -> None:
        self._metrics, self._span_exporter, self._templates = metrics, span_exporter, templates
        self.running = metrics.running

    def record(self, scope: Scope, context: RequestContext) -> None:
        """Record a request that has just ended."""
        self.running.discard(context)
        route, ended_s = self._route_of(scope), time.perf_counter()
        outcome, reason, cached = context.summary()
        self._metrics.request(route, outcome, reason, context, ended_s - context.started_s)
        if self._span_exporter is not None:
            self._span_exporter.request(f"{scope['method']} {route}", context, scope, ended_s)
        if access.isEnabledFor(logging.INFO):
            fields = _fields(scope, context, route, ended_s)
            if outcome != "answered":
                fields["problem"] = reason
            if context.models:
                fields |= {"models": [model.model for model in context.models], "cached": cached}
            message = f"{scope['method']} {route} {context.status}"
            # Not `access.info`, which first looks up the caller's file and line.
            extra = {"fields": fields}
            record = access.makeRecord(ACCESS, logging.INFO, "", 0, message, (), None, extra=extra)
            access.handle(record)

    def _route_of(self, scope: Scope) -> str:
        """The template of the route, such as `/models/{name}`: a bounded number of labels."""
        template: str | None = getattr(scope.get("route"), "path_format", None)
        return template or self._templates.match(scope["path"])


def _fields(scope: Scope, context: RequestContext, route: str, ended_s: float) -> dict[str, Any]:
    """The fields of a request's line in the access log."""
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
        fields["path"] = scope["path"][:MAX_PATH_CHARS]
    return fields


class RouteTemplates:
    """Finds the route template of a path if Starlette found no route, as for a wrong method."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        found = [route for route in routes if isinstance(route, Route)]
        # As in the documentation: `{track_id}`, where the path has `{track_id:path}`.
        self._patterns = {route.path_format: route.path_regex for route in found}

    def match(self, path: str) -> str:
        matches = (template for template, pattern in self._patterns.items() if pattern.match(path))
        return next(matches, NO_ROUTE)
