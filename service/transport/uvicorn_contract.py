"""Compatibility check of uvicorn's internals, with fallback to uvicorn's own protocol.

`uvicorn_protocol` subclasses `HttpToolsProtocol` and uses undocumented attributes that uvicorn may
change in any version. If they differ, the service falls back to uvicorn's own protocol and to the
ASGI `receive`, and logs which protections are missing.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from importlib.metadata import version
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from service.settings import Settings
from service.transport.connection_limits import connection_limits, raise_open_files

TESTED_VERSIONS = "uvicorn>=0.53,<0.55"
CALLBACKS = ("on_headers_complete", "on_body", "on_message_complete", "on_response_complete")
PROTOCOL_ATTRIBUTES = (
    *CALLBACKS,
    *("connections", "cycle", "flow", "logger", "loop", "parser", "scope", "transport"),
    *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"),
    *("send_400_response", "_unset_keepalive_if_required"),
    *("timeout_keep_alive", "timeout_keep_alive_handler", "timeout_keep_alive_task"),
)
CYCLE_ATTRIBUTES = (
    *("body", "more_body", "disconnected", "keep_alive"),
    *("waiting_for_100_continue", "scope", "transport"),
)
FLOW_ATTRIBUTES = ("pause_reading", "resume_reading")

log = logging.getLogger("tasteprint")


def http_protocol(settings: Settings) -> Callable[..., asyncio.Protocol] | str:
    """The protocol for uvicorn's option `http`: with all limits, or `auto` as the fallback."""
    if violations := find_violations():
        raise_open_files(settings.max_connections)
        log.warning(
            "uvicorn %s with httptools %s is not a tested version (%s): serving by uvicorn's own "
            "protocol. Not limited are the number of connections, the time and the size of a "
            "request's headers, pipelined requests, the number of chunks of a body, and the time "
            "to read an answer; uploads take longer, clients that ask for HTTP/2 (h2c) or speak "
            "HTTP/1.0 may fail, and clients that close the connection may miss an answer that is "
            "sent before their request has ended. Install %s",
            version("uvicorn"),
            _version_of_httptools(),
            "; ".join(violations),
            TESTED_VERSIONS,
        )
        return "auto"
    from service.transport.uvicorn_protocol import BoundedHttpProtocol

    return functools.partial(BoundedHttpProtocol, connection_limits(settings))


def find_violations() -> list[str]:
    """How the installed uvicorn and httptools differ from what `uvicorn_protocol` needs."""
    try:
        connection = _StubConnection()
        return connection.missing_attributes() or list(connection.broken_behaviours())
    except Exception as error:  # an unknown version may fail in any way
        return [f"{type(error).__name__}: {error}"]


def _missing(owner: str, instance: object, names: Iterable[str]) -> list[str]:
    return [f"{owner} has no attribute `{name}`" for name in names if not hasattr(instance, name)]


def _version_of_httptools() -> str:
    try:
        return version("httptools")
    except ModuleNotFoundError:
        return "(not installed)"


class _StubConnection:
    """A connection of uvicorn's own protocol without a socket and without an event loop."""

    def __init__(self) -> None:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        self.calls: list[str] = []

        class Recorder(HttpToolsProtocol):
            """Records the callbacks that are overridden in `uvicorn_protocol`."""

        for name in CALLBACKS:
            setattr(Recorder, name, self._recorded(name, getattr(HttpToolsProtocol, name)))
        config = uvicorn.Config(_no_app, http=Recorder, ws="none", lifespan="off", log_config=None)
        config.load()
        self.transport = _StubTransport()
        loop: Any = _StubLoop()
        self.protocol: Any = Recorder(
            config=config, server_state=ServerState(), app_state={}, _loop=loop
        )
        self.protocol.connection_made(self.transport)
        self.protocol.data_received(POST)

    def _recorded(self, name: str, method: Callable[..., None]) -> Callable[..., None]:
        def record(protocol: object, *arguments: bytes) -> None:
            self.calls.append(name)
            method(protocol, *arguments)

        return record

    def missing_attributes(self) -> list[str]:
        """A sentence for each attribute that is missing."""
        protocol = self.protocol
        cycle, flow = getattr(protocol, "cycle", None), getattr(protocol, "flow", None)
        return [
            *_missing("HttpToolsProtocol", protocol, PROTOCOL_ATTRIBUTES),
            *_missing("RequestResponseCycle", cycle, CYCLE_ATTRIBUTES),
            *_missing("FlowControl", flow, FLOW_ATTRIBUTES),
        ]

    def broken_behaviours(self) -> Iterator[str]:
        """A sentence for each behaviour that differs."""
        protocol, cycle = self.protocol, self.protocol.cycle
        if self.calls != ["on_headers_complete", "on_body"]:
            yield f"the parser calls {self.calls} for headers and the first bytes of a body"
        if (b"content-length", b"4") not in cycle.scope["headers"]:
            yield "`cycle.scope` has no lower-case headers"
        if not cycle.waiting_for_100_continue or cycle.disconnected or not cycle.keep_alive:
            yield "`cycle` has other flags for a request with `Expect: 100-continue`"
        if cycle.body != b"ab" or not cycle.more_body:
            yield "`on_body` does not append to `cycle.body`"
        yield from self._replace_parser()
        yield from self._answer()
        protocol.data_received(LAST_GET)
        if protocol.cycle is cycle or protocol.cycle.keep_alive or self.transport.is_closing():
            yield "a request with `Connection: close` and bytes after it is handled differently"
        protocol.connection_lost(None)
        if not protocol.cycle.disconnected:
            yield "`connection_lost` does not set `cycle.disconnected`"

    def _replace_parser(self) -> Iterator[str]:
        from service.transport.uvicorn_protocol import new_parser

        self.protocol.parser = new_parser(self.protocol)
        self.protocol.on_message_complete()
        if self.protocol.cycle.more_body:
            yield "`on_message_complete` does not reset `cycle.more_body`"

    def _answer(self) -> Iterator[str]:
        cycle, written = self.protocol.cycle, self.transport.written
        cycle.transport, cycle.keep_alive = _StubTransport(written), False
        _run(cycle.send({"type": "http.response.start", "status": 200}))
        _run(cycle.send({"type": "http.response.body", "body": b"xyz"}))
        if len(written) != 2 or b"transfer-encoding: chunked\r\n" not in written[0]:
            yield "the headers of a response are not written in one call"
        elif written[1] != b"3\r\nxyz\r\n0\r\n\r\n":
            yield "a chunk of a response and its size are not written in one call"
        if not cycle.transport.is_closing() or self.transport.is_closing():
            yield "the last answer of a connection is not closed by `cycle.transport.close`"
        if self.calls[-1] != "on_response_complete":
            yield "the end of a response does not call `on_response_complete`"


POST = (
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    b"ab"  # half of the body
)
LAST_GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nmore"


class _StubTransport(asyncio.Transport):
    """Transport that records what is written."""

    def __init__(self, written: list[bytes] | None = None) -> None:
        super().__init__()
        self.written: list[bytes] = [] if written is None else written
        self._closing = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _no_app(scope: Any, receive: Any, send: Any) -> None: ...


class _StubHandle:
    """Task or timer that never runs."""

    def add_done_callback(self, callback: object) -> None: ...

    def cancel(self) -> None: ...


class _StubLoop:
    """Event loop that runs nothing."""

    def create_task(self, work: Coroutine[Any, Any, None], **_: object) -> _StubHandle:
        work.close()
        return _StubHandle()

    def call_later(self, delay_s: float, callback: object) -> _StubHandle:
        return _StubHandle()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise RuntimeError("`cycle.send` waits although the client reads")
