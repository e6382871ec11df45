"""HTTP server: uvicorn with a startup banner and a graceful shutdown."""

from __future__ import annotations

import asyncio
import signal
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
from service.transport.uvicorn_contract import http_protocol

# Time for responses to be sent after the requests have ended.
CLOSING_TIMEOUT_S = 1


class Server(uvicorn.Server):
    """uvicorn server with a graceful shutdown: on a signal it finishes the requests in progress.

    Until they have ended it keeps listening and answers new requests with 503 and Retry-After,
    since a closed port would look like a crash. `/readyz` returns 503. On SIGHUP it takes bundles
    that were replaced.
    """

    def __init__(
        self, app: FastAPI, settings: Settings, banner: Callable[[socket.socket, Pipeline], str]
    ) -> None:
        self._pipeline: Pipeline = app.state.pipeline
        self._banner = banner
        self._shutdown_s = settings.shutdown_s
        self._shutdown_at = 0.0
        config = uvicorn.Config(
            app,
            # uvicorn types it as a class, but only calls it.
            http=cast(type[asyncio.Protocol], http_protocol(settings)),
            ws="none",  # whatever libraries are installed, there is no WebSocket
            log_level="info",
            log_config=None,  # uvicorn logs through the handlers of `service.observability.logs`
            access_log=False,  # `service.observability.request_recorder` logs requests
            timeout_graceful_shutdown=CLOSING_TIMEOUT_S,
            # uvicorn types it as whole seconds, but only passes it to the timer.
            timeout_keep_alive=cast(int, settings.keep_alive_s),
            server_header=False,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            reload = self._pipeline.reloader.request
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        if self.started and sockets:
            announce(self._banner(sockets[0], self._pipeline), self._pipeline.settings)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self._pipeline.stopping:
            self._shutdown_at = time.monotonic() + self._shutdown_s
            self._pipeline.stop()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if not await super().on_tick(counter):
            return False
        finished = not self._pipeline.requests or time.monotonic() >= self._shutdown_at
        return finished or self.force_exit
