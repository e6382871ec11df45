"""A connection whose body is delivered directly stays open as long as with the ASGI `receive`."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.transport.body import find_delivery
from service.transport.connection_limits import ConnectionLimits
from service.transport.uvicorn_protocol import BoundedHttpProtocol

SIZE = 1000
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE
REFUSED = b"HTTP/1.1 400 "


class NullReceiver:
    """Ignores the body."""

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_disconnect(self) -> None: ...


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Ask for the body, and answer before any of it has arrived."""
    deliver = find_delivery(scope)
    assert deliver is not None
    deliver(NullReceiver())
    await Response(status_code=400)(scope, receive, send)


async def answers_to_slow_bodies(keep_alive_s: int, bodies: int) -> int:
    """Number of answers over one connection, where each body takes longer than the keep-alive."""
    config = uvicorn.Config(refuse, timeout_keep_alive=keep_alive_s, lifespan="off")
    limits, state = ConnectionLimits(10, 10.0, 10.0), ServerState()

    def protocol() -> BoundedHttpProtocol:
        return BoundedHttpProtocol(limits, config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        answered = 0
        for _ in range(bodies):
            writer.write(POST)
            answered += (await reader.readuntil(b"\r\n\r\n")).startswith(REFUSED)
            for _ in range(10):
                writer.write(b"x" * (SIZE // 10))
                # Neither an answer nor the end of the connection arrives meanwhile.
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.15 * keep_alive_s)
        writer.close()
    return answered


def test_a_connection_with_a_refused_body_under_way_is_not_idle() -> None:
    assert asyncio.run(answers_to_slow_bodies(keep_alive_s=1, bodies=2)) == 2
