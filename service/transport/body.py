"""Body: a request's bytes as they come, from a client that is neither silent nor too slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from service.observability.context import current
from service.transport.body_delivery import delivers
from service.transport.upload_limits import Receiving


async def feed_body(request: Request, body: Receiving, feed: Callable[[bytes], None]) -> None:
    """Feed it the body's pieces as fast as they come.

    Raises
    ------
    UploadTimeout, ClientDisconnect, and what `feed` raises
    """
    deliver = delivers(request.scope)
    if deliver is None:
        async for chunk in body_of(request, body):
            feed(chunk)
        return
    feeding = Feeding(body, feed)
    try:
        deliver(feeding)
        await feeding.over
    finally:
        feeding.close()
        current().received_bytes += body.pace.size


async def body_of(request: Request, body: Receiving) -> AsyncIterator[bytes]:
    """The body's pieces, no faster than they are asked for.

    Raises
    ------
    UploadTimeout, ClientDisconnect
    """
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(None) as timer:
                body.wait(partial(_end_now, timer))
                timer.reschedule(body.pace.until)
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise body.cut or body.pace.stalled() from error
        finally:
            body.over()
        if body.cut is not None:  # its bytes were given away just as more came
            raise body.cut
        if chunk:
            body.pace.took(len(chunk))
            yield chunk


def _end_now(timer: asyncio.Timeout) -> None:
    if not timer.expired():
        timer.reschedule(0)


class Feeding:
    """Takes in what is delivered (see `service.transport.body_delivery`).

    Attributes
    ----------
    over : done when the body is, or with the error that ended it
    """

    def __init__(self, body: Receiving, feed: Callable[[bytes], None]) -> None:
        self._body, self._feed = body, feed
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._wait()
        self._timer = self._loop.call_at(body.pace.until, self._check)

    def piece(self, data: bytes) -> None:
        if self.over.done():  # it failed: the rest of it is let pass
            return
        self._body.over()
        self._body.pace.took(len(data))
        try:
            self._feed(data)
        except Exception as error:
            self._end(error)
        else:
            self._wait()

    def end(self) -> None:
        self._end(None)

    def left(self) -> None:
        self._end(ClientDisconnect())

    def _wait(self) -> None:
        self._body.wait(lambda: self._end(self._body.cut))

    def _check(self) -> None:
        """Cut a client whose time is over. Most often it has gained some since."""
        until = self._body.pace.until
        if self._loop.time() < until:
            self._timer = self._loop.call_at(until, self._check)
        else:
            self._end(self._body.pace.stalled())

    def _end(self, error: Exception | None) -> None:
        self._body.over()
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)

    def close(self) -> None:
        self._timer.cancel()
        self._body.over()
        if self.over.done() and not self.over.cancelled():
            self.over.exception()  # looked at, also where nobody waited for it any longer


# As much as the server takes in before it makes a client wait. That one has left who had more to
# send is seen when his next bytes are read.
MAX_BYTES = 256 << 10


class Ahead:
    """What a request receives: `look` at the messages to come, `receive` them for good."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: deque[Message] = deque()

    async def receive(self) -> Message:
        return self._messages.popleft() if self._messages else await self._receive()

    async def look(self) -> Message:
        """The next message that nobody has looked at; none comes while too much is kept."""
        if sum(len(each.get("body", b"")) for each in self._messages) >= MAX_BYTES:
            await asyncio.Event().wait()
        self._messages.append(await self._receive())
        return self._messages[-1]
