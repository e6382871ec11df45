"""A connection whose body is delivered lives as long as one whose body is received."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.transport.body_delivery import DeliveringHttp, delivers

SIZE = 1000
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE
REFUSED = b"HTTP/1.1 400 "


class Ignoring:
    """Takes in a body for nothing."""

    def piece(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def left(self) -> None: ...


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Ask for the body, and answer before any of it is there."""
    deliver = delivers(scope)
    assert deliver is not None
    deliver(Ignoring())
    await Response(status_code=400)(scope, receive, send)


async def answers_to_slow_bodies(keep_alive_s: int, bodies: int) -> int:
    """How many are answered over one connection, where each takes longer than it is kept idle."""
    config = uvicorn.Config(refuse, timeout_keep_alive=keep_alive_s, lifespan="off")
    loop, state = asyncio.get_running_loop(), ServerState()
    server = await loop.create_server(lambda: DeliveringHttp(config, state, {}), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        answered = 0
        for _ in range(bodies):
            writer.write(POST)
            answered += (await reader.readuntil(b"\r\n\r\n")).startswith(REFUSED)
            for _ in range(10):
                writer.write(b"x" * (SIZE // 10))
                # Nothing comes meanwhile, an end neither.
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.15 * keep_alive_s)
        writer.close()
    return answered


def test_a_refused_body_that_is_still_coming_is_no_idle_connection() -> None:
    assert asyncio.run(answers_to_slow_bodies(keep_alive_s=1, bodies=2)) == 2
