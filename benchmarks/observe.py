"""Cost per request of the outermost middleware: `python -m benchmarks.observe`.

CPU time of one process, the minimum of several rounds; no socket, no HTTP parser, so that a bare
endpoint is as cheap as it gets and the difference shows.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.logging import AccessFormatter

from service.middleware.request import RequestMiddleware
from service.observability.logs import ACCESS, JsonFormatter, TextFormatter
from service.observability.metrics import Metrics
from service.observability.request_recorder import RequestRecorder, RouteTemplates

ROUNDS, REQUESTS = 7, 2000


def bare() -> ASGIApp:
    """One FastAPI endpoint that answers like `/healthz`."""
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app.build_middleware_stack()


def scope_of(app: ASGIApp) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": "/healthz",
        "raw_path": b"/healthz",
        "query_string": b"",
        "headers": [(b"host", b"x"), (b"user-agent", b"bench"), (b"accept", b"*/*")],
        "client": ("127.0.0.1", 1),
        "app": app,
    }


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    pass


def microseconds(app: ASGIApp) -> float:
    """CPU time per request, minimum over the rounds."""

    async def once() -> float:
        started = time.process_time()
        for _ in range(REQUESTS):
            await app(scope_of(app), receive, send)
        return 1e6 * (time.process_time() - started) / REQUESTS

    return min(asyncio.run(once()) for _ in range(ROUNDS))


def log_to_nowhere(formatter: logging.Formatter | None) -> None:
    """Format log lines and write them to a null device; None disables logging."""
    logger = logging.getLogger(ACCESS)
    logger.propagate = False
    logger.handlers = []
    logger.setLevel(logging.INFO if formatter else logging.WARNING)
    if formatter:
        handler = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115, PTH123
        handler.setFormatter(formatter)
        logger.addHandler(handler)


def with_line(app: ASGIApp) -> ASGIApp:
    """The application, with the line that uvicorn would log per request."""

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        logging.getLogger(ACCESS).info(
            '%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/healthz", "1.1", 200
        )

    return logged


def main() -> None:
    without = microseconds(bare())
    print(f"bare endpoint       {without:6.1f} µs")
    log_to_nowhere(
        AccessFormatter('%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s')
    )
    took = microseconds(with_line(bare()))
    print(
        f"uvicorn's own line  {took:6.1f} µs, +{took - without:.1f} µs, ratio {took / without:.2f}"
    )
    for setup, formatter in (
        ("counted", None),
        ("and logged, text", TextFormatter()),
        ("and logged, JSON", JsonFormatter()),
    ):
        log_to_nowhere(formatter)
        recorder = RequestRecorder(Metrics("bench"), None, RouteTemplates([]))
        took = microseconds(RequestMiddleware(bare(), recorder, private=False))
        print(f"{setup:19} {took:6.1f} µs, +{took - without:.1f} µs, ratio {took / without:.2f}")


if __name__ == "__main__":
    main()
