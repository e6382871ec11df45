"""The server: says what it uses once it listens, and ends without losing what it has taken."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import cast

import uvicorn
from fastapi import FastAPI

from service.observability.logs import announce
from service.pipeline.pipeline import Pipeline
from service.settings import Settings
from service.transport.connection import connections

# For answers to leave, once the requests are over.
CLOSING_S = 1


class Server(uvicorn.Server):
    """uvicorn, which on a signal first finishes its requests, and refuses new ones meanwhile.

    It goes on listening until then: who comes gets a 503 with Retry-After, and who asks whether it
    is ready is told that it is not, where a closed port would look like a crash.
    """

    def __init__(
        self, app: FastAPI, settings: Settings, banner: Callable[[socket.socket, Pipeline], str]
    ) -> None:
        self._pipeline: Pipeline = app.state.pipeline
        self._banner = banner
        self._shutdown_s = settings.shutdown_s
        self._ends_at = 0.0
        config = uvicorn.Config(
            app,
            # A class is meant; it is called, and nothing else.
            http=cast(type[asyncio.Protocol], connections(settings)),
            log_level="info",
            log_config=None,  # its lines go the way of ours
            access_log=False,  # `service.middleware.instrumentation` logs the requests
            timeout_graceful_shutdown=CLOSING_S,
            server_header=False,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            announce(self._banner(sockets[0], self._pipeline), self._pipeline.settings)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self._pipeline.stopping:
            self._ends_at = time.monotonic() + self._shutdown_s
            self._pipeline.stop()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if not await super().on_tick(counter):
            return False
        finished = not self._pipeline.requests or time.monotonic() >= self._ends_at
        return finished or self.force_exit
