"""Templates: which route a path would have had, where a request was answered before any was asked.

So it is without a key, and where the route is not FastAPI's own, as `/openapi.json`.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import BaseRoute, Route, compile_path

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
