"""Link: whether Redis can be used, and the one task that finds out when it can again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from service.errors import CannotStart

# Asked at a time. One process asks with one thread: more connections carry nothing more, and a
# frozen Redis that wakes up finds no crowd.
MAX_CONNECTIONS = 16
# A connection that is made in the background may take longer than a request may wait: a name is
# resolved, hands are shaken.
CONNECT_S = 2.0

log = logging.getLogger("tasteprint")


class Link:
    """What is known of Redis: it answers in time, or it is tried in the background until it does.

    Parameters
    ----------
    attempt : asks Redis something, over a new connection where there is none; raises where it fails
    """

    def __init__(
        self, where: str, attempt: Callable[[], Awaitable[None]], timeout_s: float, pause_s: float
    ) -> None:
        self._where, self._attempt = where, attempt
        self._timeout_s, self._pause_s = timeout_s, pause_s
        self._recovery: asyncio.Task[None] | None = None
        self._waited_until: float | None = None
        self._left_alone_until = 0.0
        self._failing = False

    @property
    def holds(self) -> bool:
        """Whether nothing has failed since it last answered."""
        return not self._failing

    @property
    def lost(self) -> bool:
        """Whether it is being tried in the background."""
        return self._recovery is not None

    async def usable(self) -> bool:
        """Whether to ask now. The first who come wait for the first connection, nobody later on."""
        loop = asyncio.get_running_loop()
        if self._waited_until is None:
            self._waited_until = loop.time() + self._timeout_s
            self._recover(rest_s=0.0)
        left_s = self._waited_until - loop.time()
        if self._recovery is not None and left_s > 0:
            await asyncio.wait({self._recovery}, timeout=left_s)
            if self._recovery is not None:
                self._note(TimeoutError())
        return self._recovery is None

    def lose(self, error: Exception) -> None:
        """Redis failed to answer: ask it no more until it has answered in the background."""
        self._note(error)
        if self._recovery is None:
            # At once the first time: one late answer is not the end of it. But not each time.
            now = asyncio.get_running_loop().time()
            self._recover(max(0.0, self._left_alone_until - now))
            self._left_alone_until = now + self._pause_s

    def _recover(self, rest_s: float) -> None:
        self._recovery = asyncio.create_task(self._until_it_answers(rest_s))

    async def _until_it_answers(self, rest_s: float) -> None:
        await asyncio.sleep(rest_s)
        while True:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._attempt()
                # The connection is there now: this is how long a request would wait.
                async with asyncio.timeout(self._timeout_s):
                    await self._attempt()
                break
            except Exception as error:  # whatever it is, this task is what gets Redis back
                self._note(error)
                await asyncio.sleep(self._pause_s)
        self._recovery = None
        if self._failing:
            log.info("Redis at %s answers again", self._where)
        self._failing = False

    def _note(self, error: Exception) -> None:
        if not self._failing:
            why = reason(error)
            log.warning("Redis at %s does not answer, going on without it (%s)", self._where, why)
        self._failing = True

    async def close(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait({self._recovery})


def open_pool(url: str) -> ConnectionPool:
    """The connections of a `redis://` or `rediss://` URL; made when they are needed.

    Raises
    ------
    CannotStart
        Where the URL has an option that is none; the URL is not shown, as it may hold a password.
    """
    _check_options(url)
    try:
        pool = ConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS + 1,  # and the one that tries in the background
            # Whoever asks bounds the whole of it. A timer of each step's own would cost a task.
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # no more than GET and SET is asked; its hand-shake is the shorter one
        )
        pool.make_connection()  # type: ignore[no-untyped-call]  # not connected: it shows that the options are taken
    except (TypeError, ValueError):
        raise CannotStart(
            "TASTEPRINT_REDIS_URL has an option with a bad value, or one of TLS without rediss://",
            remedy="write redis://host:6379/0, or rediss://host:6379/0?ssl_ca_certs=/path/ca.pem",
        ) from None
    return pool


def _check_options(url: str) -> None:
    """Timeouts and sizes are the service's own; the rest would change what an answer is."""
    given = parse_qs(urlsplit(url).query)
    other = [name for name in given if name != "db" and not name.startswith("ssl_")]
    if other:
        raise CannotStart(
            f"TASTEPRINT_REDIS_URL has options that are not taken: {', '.join(other)}",
            value=", ".join(other),
            limit="db, ssl_…",
            remedy="leave them out",
        )


def reason(error: BaseException) -> str:
    """What went wrong, in no words of the server's: an error may repeat the password it was sent.

    An error's first word is said, which is its code: OOM, READONLY, WRONGTYPE.
    """
    if isinstance(error, ResponseError):
        code = re.match(r"[A-Z]{2,20}\b", str(getattr(error, "status_code", None) or error))
        return code[0] if code else type(error).__name__
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cause = error.__cause__ or error.__context__ or error
    said = cause.strerror if isinstance(cause, OSError) else None
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


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
