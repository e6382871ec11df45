"""After an early answer a client may send on for a bounded time and size, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.transport.connection_limits import ConnectionLimits
from service.transport.lingering_close import LingerLimits
from service.transport.uvicorn_protocol import BoundedHttpProtocol
from tests.running import DEADLINE_S

KEPT = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
CLOSED = KEPT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
REFUSED = b"HTTP/1.1 401 "
LONG = 1 << 40
NEVER = LingerLimits(idle_s=DEADLINE_S, total_s=DEADLINE_S, total_bytes=LONG)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer before any of the body is read."""
    await Response("no", status_code=401)(scope, receive, send)


@asynccontextmanager
async def connected(
    linger: LingerLimits = NEVER, *, head_timeout_s: float = DEADLINE_S, keep_alive_s: int = 90
) -> AsyncIterator[Streams]:
    """A connection to a server that refuses all requests."""
    config = uvicorn.Config(refuse, timeout_keep_alive=keep_alive_s, lifespan="off")
    limits, state = ConnectionLimits(10, head_timeout_s, DEADLINE_S, linger), ServerState()

    def protocol() -> BoundedHttpProtocol:
        return BoundedHttpProtocol(limits, config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await work()

    asyncio.run(limited())


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(REFUSED)
    return head + await reader.readexactly(2)


async def send_until_cut(writer: asyncio.StreamWriter, piece: bytes) -> int:
    """Bytes that were sent before the connection was closed."""
    sent = 0
    try:
        while True:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            await asyncio.sleep(0.005)  # several hundred chunks, fewer than are free
    except OSError:
        return sent


@pytest.mark.parametrize("head", [CLOSED, KEPT])
def test_a_client_that_sends_on_is_cut_after_the_time(head: bytes) -> None:
    async def work() -> None:
        limits = LingerLimits(idle_s=DEADLINE_S, total_s=0.3, total_bytes=LONG)
        async with connected(limits) as (reader, writer):
            writer.write(head % LONG)
            await read_answer(reader)
            await send_until_cut(writer, b"x")

    run(work)


@pytest.mark.parametrize("head", [CLOSED, KEPT])
def test_a_client_that_sends_on_is_cut_after_the_size(head: bytes) -> None:
    async def work() -> None:
        limits = LingerLimits(idle_s=DEADLINE_S, total_s=DEADLINE_S, total_bytes=1 << 20)
        async with connected(limits) as (reader, writer):
            writer.write(head % LONG)
            await read_answer(reader)
            # Beyond the limit the buffers of both systems hold some more.
            assert await send_until_cut(writer, bytes(1 << 16)) < 64 << 20

    run(work)


@pytest.mark.parametrize("head", [CLOSED, KEPT])
def test_a_client_that_sends_nothing_more_is_cut_after_the_idle_time(head: bytes) -> None:
    async def work() -> None:
        limits = LingerLimits(idle_s=0.3, total_s=DEADLINE_S, total_bytes=LONG)
        async with connected(limits) as (reader, writer):
            writer.write(head % LONG + b"x")
            await read_answer(reader)
            assert await reader.read() == b""

    run(work)


def test_the_answer_ends_before_the_client_does() -> None:
    """A client of HTTP/1.0 reads to the end of the connection."""

    async def work() -> None:
        async with connected() as (reader, writer):
            writer.write((CLOSED % LONG).replace(b"HTTP/1.1", b"HTTP/1.0") + b"x")
            answer = await reader.read()
            assert answer.startswith(REFUSED)
            assert answer.endswith(b"\r\n\r\nno")

    run(work)


def test_a_refused_body_of_any_duration_leaves_the_connection_usable() -> None:
    """Neither its bytes nor the idle time after them count as the next request's headers."""

    async def work() -> None:
        async with connected(head_timeout_s=0.2) as (reader, writer):
            writer.write(KEPT % 100)
            await read_answer(reader)
            for _ in range(99):
                writer.write(b"x")
                await asyncio.sleep(0.005)
            writer.write(b"x")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.4)
            writer.write(KEPT % 0)
            await read_answer(reader)

    run(work)


def test_after_a_refused_body_an_idle_connection_is_closed() -> None:
    async def work() -> None:
        async with connected(keep_alive_s=1) as (reader, writer):
            writer.write(KEPT % 3)
            await read_answer(reader)
            writer.write(b"xyz")
            assert await reader.read() == b""

    run(work)


HELLO = b"\x16\x03\x01\x02\x00\x01"  # of TLS


@pytest.mark.parametrize("sent", [HELLO * 300_000, b"no request\r\n" * 150_000])
def test_what_is_no_request_is_answered(sent: bytes) -> None:
    async def work() -> None:
        async with connected() as (reader, writer):
            writer.write(sent)
            await writer.drain()
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400 Bad Request")
            assert b"urn:tasteprint:malformed-request" in answer

    run(work)


def test_long_headers_are_answered() -> None:
    async def work() -> None:
        async with connected() as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000)
            await writer.drain()
            assert (await reader.read()).startswith(b"HTTP/1.1 431 ")

    run(work)


def test_requests_sent_ahead_do_not_take_the_answer_away() -> None:
    async def work() -> None:
        async with connected() as (reader, writer):
            writer.write((KEPT % 0) * 200_000)
            await writer.drain()
            assert (await reader.read()).count(REFUSED) == 1

    run(work)
