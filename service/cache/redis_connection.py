"""Circuit breaker, connection pool and DNS resolver for Redis."""

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

# Concurrent commands. One process sends commands from one thread, so that more connections would
# carry no more; and a frozen Redis that resumes does not meet hundreds of connections.
MAX_CONNECTIONS = 16
# A connection made in the background may take longer than a request may wait: DNS resolution and
# the TLS handshake take time.
CONNECT_S = 2.0

log = logging.getLogger("tasteprint")


class CircuitBreaker:
    """Circuit breaker for Redis: opens at a failure, closes once a background probe succeeds.

    While the circuit is open, requests are answered without Redis and do not wait for Redis.

    Parameters
    ----------
    address : address of Redis, for the log
    probe : sends a command to Redis, over a new connection where there is none; raises on failure
    timeout_s : how long a request may wait for Redis, and so how long a probe may take
    pause_s : interval between probes while the circuit is open
    """

    def __init__(
        self, address: str, probe: Callable[[], Awaitable[None]], timeout_s: float, pause_s: float
    ) -> None:
        self._address, self._probe = address, probe
        self._timeout_s, self._pause_s = timeout_s, pause_s
        self._probing: asyncio.Task[None] | None = None
        self._first_wait_ends: float | None = None
        self._next_probe_at = 0.0
        self._has_failed = False

    @property
    def is_healthy(self) -> bool:
        """Whether no failure has been recorded since Redis last answered in time."""
        return not self._has_failed

    @property
    def is_open(self) -> bool:
        """Whether Redis is being probed in the background, and requests must not call Redis."""
        return self._probing is not None

    async def allows_call(self) -> bool:
        """Whether to call Redis now.

        The first requests wait for the first connection, up to the timeout; later ones never wait.
        """
        loop = asyncio.get_running_loop()
        if self._first_wait_ends is None:
            self._first_wait_ends = loop.time() + self._timeout_s
            self._start_probing(delay_s=0.0)
        remaining_s = self._first_wait_ends - loop.time()
        if self._probing is not None and remaining_s > 0:
            await asyncio.wait({self._probing}, timeout=remaining_s)
            if self._probing is not None:
                self._note_failure(TimeoutError())
        return self._probing is None

    def record_failure(self, error: Exception) -> None:
        """Open the circuit: Redis did not answer, so probe Redis until it does."""
        self._note_failure(error)
        if self._probing is None:
            # At once after a first failure, which may be a single late answer; but a Redis that
            # answers probes and fails requests is probed once per pause at most.
            now = asyncio.get_running_loop().time()
            self._start_probing(max(0.0, self._next_probe_at - now))
            self._next_probe_at = now + self._pause_s

    def _start_probing(self, delay_s: float) -> None:
        self._probing = asyncio.create_task(self._probe_until_success(delay_s))

    async def _probe_until_success(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while True:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._probe()
                # The connection is open now: a request may wait this long for a command.
                async with asyncio.timeout(self._timeout_s):
                    await self._probe()
                break
            except Exception as error:  # any error: this task alone can close the circuit again
                self._note_failure(error)
                await asyncio.sleep(self._pause_s)
        self._probing = None
        if self._has_failed:
            log.info("Redis at %s answers again", self._address)
        self._has_failed = False

    def _note_failure(self, error: Exception) -> None:
        if not self._has_failed:
            log.warning(
                "Redis at %s does not answer, continuing without it (%s)",
                self._address,
                describe_error(error),
            )
        self._has_failed = True

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})


def open_pool(url: str) -> ConnectionPool:
    """The connection pool of a `redis://` or `rediss://` URL; connects at the first command.

    Raises
    ------
    CannotStart
        Where the URL has a bad option. The URL is not shown, since it may hold a password.
    """
    _check_options(url)
    try:
        pool = ConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS + 1,  # one more for the background probe
            # The caller bounds the whole command. A timeout per step would cost a task per step.
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # sufficient for GET and SET, with the shorter handshake
        )
        # Not connected yet: this checks the options.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError):
        raise CannotStart(
            "TASTEPRINT_REDIS_URL has an option with a bad value, or a TLS option without rediss://",
            remedy="write redis://host:6379/0, or rediss://host:6379/0?ssl_ca_certs=/path/ca.pem",
        ) from None
    return pool


def _check_options(url: str) -> None:
    """Allow only `db` and TLS options: others would override the service's timeouts and sizes."""
    names = parse_qs(urlsplit(url).query)
    refused = [name for name in names if name != "db" and not name.startswith("ssl_")]
    if refused:
        raise CannotStart(
            f"TASTEPRINT_REDIS_URL has unsupported options: {', '.join(refused)}",
            value=", ".join(refused),
            limit="db, ssl_…",
            remedy="remove them from the URL",
        )


def describe_error(error: BaseException) -> str:
    """Description of an error without the server's message, which may repeat the password.

    Of an error response only the code is used, the first word: OOM, READONLY, WRONGTYPE.
    """
    if isinstance(error, ResponseError):
        code = re.match(r"[A-Z]{2,20}\b", str(getattr(error, "status_code", None) or error))
        return code[0] if code else type(error).__name__
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cause = error.__cause__ or error.__context__ or error
    message = cause.strerror if isinstance(cause, OSError) else None
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


class DnsResolver:
    """DNS resolver of one host name: one resolution at a time, which all callers wait for.

    A resolution cannot be cancelled: it continues in its thread until the system's resolver gives
    up. So it runs in a separate daemon thread, which blocks neither the event loop's thread pool
    nor the exit of the process.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._running: asyncio.Future[None] | None = None

    async def resolve(self) -> None:
        """Wait until the name is resolved.

        Raises
        ------
        OSError
            Where the name has no address, or no name server answered.
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
        except (OSError, UnicodeError) as caught:  # `UnicodeError`: a name that is too long
            error = caught if isinstance(caught, OSError) else OSError(str(caught))
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(self._finish, running, error)

    def _finish(self, running: asyncio.Future[None], error: OSError | None) -> None:
        self._running = None
        if error is None:
            running.set_result(None)
        else:
            running.set_exception(error)
            running.exception()  # retrieved, so that asyncio logs none where no caller waits
