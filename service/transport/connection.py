"""Connections: one that asks for nothing is closed, and idle ones never keep others out."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from service.settings import Settings
from service.transport.header_limits import BoundedHttp

CHUNKED = b"transfer-encoding: chunked\r\n"


class Unchunked:
    """A transport that takes the chunks off again which uvicorn puts around each piece of a body.

    uvicorn writes the head at once, and then each piece with its size in front at once.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._in_body = self._chunked = False

    def write(self, data: bytes) -> None:
        if not self._in_body:
            self._in_body, self._chunked = True, CHUNKED in data
            data = data.replace(CHUNKED, b"")
        elif self._chunked:
            size, _, rest = data.partition(b"\r\n")
            data = rest[: int(size or b"0", 16)]
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


# Besides connections: models, decoders and their pipes, Redis.
OTHER_FILES = 512
# A connection and the memory of its upload.
FILES_PER_CONNECTION = 2

log = logging.getLogger("tasteprint")


@dataclass
class Room:
    """How many connections there may be, and those of them that ask for nothing, longest first."""

    limit: int
    head_timeout_s: float
    silence_s: float
    idle: dict[Connection, None] = field(default_factory=dict)


class Connection(BoundedHttp):
    """uvicorn's, with a time limit for a request's head and a bound on idle ones.

    A request that comes before the one ahead of it was answered is not read (uvicorn would queue
    as many as come), and the connection ends with that answer: a client that sends ahead has to
    expect it (RFC 9112, section 9.3.2), and no client of today does.
    """

    def __init__(self, room: Room, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._room = room
        self._asking = False
        self._deaf = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._rest()
        self._wait_for_head()
        if len(self.connections) > self._room.limit:
            next(iter(self._room.idle)).transport.abort()  # may be this one

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.idle.pop(self, None)
        self._stop_timer()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if not self._asking and self._head_timer is None:
            self._wait_for_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        if self._asking:
            self._deaf = True
            self._head_bytes = 0  # what follows is not read, and no head
            self.cycle.keep_alive = False
        if self._deaf:
            return
        self._asking = True
        self._room.idle.pop(self, None)
        self._stop_timer()
        super().on_headers_complete()
        if self.cycle and self.scope["http_version"] == "1.0":
            self.cycle.waiting_for_100_continue = False  # to be ignored (RFC 9110, 10.1.1)
            self.cycle.transport = cast(asyncio.Transport, Unchunked(self.transport))

    def on_body(self, body: bytes) -> None:
        if not self._deaf:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._deaf:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._asking = False
        self._rest()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read its answer: for as long as it may be silent."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._room.silence_s, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _rest(self) -> None:
        self._room.idle[self] = None

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self._room.head_timeout_s, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def connections(settings: Settings) -> Callable[..., asyncio.Protocol]:
    """What makes a connection, for as many as the system has files for."""
    room = Room(most_connections(settings), settings.head_timeout_s, settings.upload_timeout_s)
    if room.limit < settings.max_connections:
        log.warning("%d connections at most: the system lets no more files be open", room.limit)
    return functools.partial(Connection, room)


def most_connections(settings: Settings) -> int:
    """As many as are set, or fewer where the system lets no more files be open."""
    wanted = settings.max_connections
    return min(wanted, (open_files(wanted) - OTHER_FILES) // FILES_PER_CONNECTION)


def open_files(connections: int) -> int:
    """Raise the process's limit of open files to what so many connections need; what it is then."""
    try:
        import resource
    except ImportError:  # no such limit on this system
        return FILES_PER_CONNECTION * connections + OTHER_FILES
    needed = FILES_PER_CONNECTION * connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return needed
    reachable = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return max(soft, reachable)
