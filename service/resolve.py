"""Resolve: a host's name, in a thread of its own, once at a time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading


class Name:
    """A resolution cannot be given up: it goes on in its thread, for as long as resolvers try.

    So there is one at most, which everybody waits for; and it holds up neither the event loop's
    own threads, which others need, nor the end of the process.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._running: asyncio.Future[None] | None = None

    async def resolves(self) -> None:
        """Wait until it is resolved.

        Raises
        ------
        OSError
            Where it has no address, or no server said.
        """
        if self._running is None:
            loop = asyncio.get_running_loop()
            self._running = loop.create_future()
            thread = threading.Thread(target=self._resolve, args=(loop, self._running), daemon=True)
            thread.start()
        await asyncio.shield(self._running)

    def _resolve(self, loop: asyncio.AbstractEventLoop, running: asyncio.Future[None]) -> None:
        error: OSError | None = None
        try:
            socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as caught:  # no name can be so long
            error = caught if isinstance(caught, OSError) else OSError(str(caught))
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._over, running, error)

    def _over(self, running: asyncio.Future[None], error: OSError | None) -> None:
        self._running = None
        if error is None:
            running.set_result(None)
        else:
            running.set_exception(error)
            running.exception()  # looked at, where everybody has given up
