"""Request body reader: media type, length, bytes as they arrive, and minimum upload rate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Protocol

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from service.errors import UnsupportedBody, UploadTimeout
from service.observability.context import current
from service.settings import Settings
from service.transport.upload import EVICTABLE_BEHIND_S, UploadBudget

MULTIPART = "multipart/form-data"
# Parsing time grows faster than the length.
MAX_TYPE_BYTES = 1 << 10
# Name of the ASGI extension (`scope["extensions"]`) by which the server delivers a body directly.
DELIVERY_EXTENSION = "tasteprint.delivery"


class BodyReceiver(Protocol):
    """Receiver of a body that the server delivers directly; its methods must not raise."""

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_disconnect(self) -> None:
        """The client disconnected before the end."""


Deliver = Callable[[BodyReceiver], None]


def find_delivery(scope: Scope) -> Deliver | None:
    """The server's function that delivers the body directly; None without that extension."""
    extension: dict[str, Deliver] = scope.get("extensions", {}).get(DELIVERY_EXTENSION, {})
    return extension.get("deliver")


def content_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """`Content-Length`; 0 without one. The HTTP parser accepts blanks and leading zeros."""
    for name, value in headers:
        if name == b"content-length":
            return int(value.strip().lstrip(b"0")[:20] or 0)
    return 0


def media_type(request: Request) -> tuple[str, dict[bytes, bytes]]:
    """The body's media type and its options, such as `boundary`; an empty type without the header.

    Raises
    ------
    UnsupportedBody
        If the header is too long to parse.
    """
    stated = request.headers.get("content-type", "")
    if len(stated) > MAX_TYPE_BYTES:
        raise unsupported_body(stated, f"a type of {MAX_TYPE_BYTES} bytes")
    kind, options = parse_options_header(stated)
    return kind.decode("latin-1"), options


def unsupported_body(kind: str, limit: str, remedy: str | None = None) -> UnsupportedBody:
    name = kind[:64] or "no type"
    detail = f"a body of type {name} is not supported"
    return UnsupportedBody(detail, value=name, limit=limit, remedy=remedy)


class UploadRate:
    """Minimum upload rate: the idle time that a client has left.

    It is the allowed idle time less the client's delay behind the minimum rate. A fast start does
    not make up for a slow end, and time spent by the service does not count.

    Attributes
    ----------
    deadline_s : when the idle time is used up, on the event loop's clock
    received_bytes : bytes received so far
    """

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.get_running_loop()
        self._min_bytes_per_s = settings.min_upload_bytes_per_s
        self._max_idle_s = self._left_s = settings.upload_timeout_s
        self.deadline_s = self._loop.time() + self._max_idle_s
        self.received_bytes = 0

    @property
    def behind_s(self) -> float:
        """The delay behind the minimum rate, in seconds of the allowed idle time."""
        return self._max_idle_s - (self.deadline_s - self._loop.time())

    def stop(self, received_bytes: int) -> None:
        """Stop the clock until `start`, since this number of bytes has arrived."""
        self.received_bytes += received_bytes
        left_s = self.deadline_s - self._loop.time() + received_bytes / self._min_bytes_per_s
        self._left_s = min(left_s, self._max_idle_s)

    def start(self) -> None:
        """Start the clock: the service waits for the client."""
        self.deadline_s = self._loop.time() + self._left_s

    def timeout(self) -> UploadTimeout:
        """The error of an upload whose idle time is used up."""
        idle_s, rate = self._max_idle_s, self._min_bytes_per_s
        if self._left_s == idle_s:
            return UploadTimeout(f"no bytes arrived for {idle_s:g} s", limit=idle_s)
        return UploadTimeout(
            f"{self.received_bytes} bytes arrived, at less than {rate} bytes per second",
            value=self.received_bytes,
            limit=rate,
        )


class BodyBuffer(Protocol):
    """Buffer that owns the bytes of a body."""

    @property
    def held_bytes(self) -> int: ...

    def close(self) -> None:
        """Release the bytes."""


class BodyReader:
    """Request body reader; while it waits for the client, the upload budget may evict the body.

    Attributes
    ----------
    evicted : the error of an evicted body, else None
    """

    def __init__(
        self, request: Request, buffer: BodyBuffer, budget: UploadBudget, settings: Settings
    ) -> None:
        self._request, self._buffer = request, buffer
        self._evictable = budget.evictable
        self.rate = UploadRate(settings)
        self.evicted: UploadTimeout | None = None
        self._on_evicted: Callable[[], object] | None = None

    async def feed(self, sink: Callable[[bytes], None]) -> None:
        """Feed the chunks of the body to a sink as fast as they arrive.

        Raises
        ------
        UploadTimeout, ClientDisconnect, and what the sink raises
        """
        deliver = find_delivery(self._request.scope)
        try:
            if deliver is None:
                async for chunk in self.chunks():
                    sink(chunk)
            else:
                await self._feed_directly(deliver, sink)
        finally:
            current().received_bytes += self.rate.received_bytes

    async def _feed_directly(self, deliver: Deliver, sink: Callable[[bytes], None]) -> None:
        receiver = DirectBodyReceiver(self, sink)
        try:
            deliver(receiver)
            await receiver.done
        finally:
            receiver.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of the body by the ASGI `receive`, no faster than the caller iterates.

        Raises
        ------
        UploadTimeout, ClientDisconnect
        """
        chunks = aiter(self._request.stream())
        while True:
            try:
                async with asyncio.timeout(None) as timeout:
                    self.start_waiting(partial(_expire, timeout))
                    timeout.reschedule(self.rate.deadline_s)
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise self.evicted or self.rate.timeout() from error
            finally:
                self.stop_waiting()
            if self.evicted is not None:  # just as more bytes arrived
                raise self.evicted
            if chunk:
                self.rate.stop(len(chunk))
                yield chunk

    def start_waiting(self, on_evicted: Callable[[], object]) -> None:
        """Wait for the client: until `stop_waiting` the clock runs and the body is evictable."""
        self._on_evicted = on_evicted
        self.rate.start()
        self._evictable.add(self)

    def stop_waiting(self) -> None:
        self._evictable.discard(self)

    @property
    def held_bytes(self) -> int:
        return self._buffer.held_bytes

    @property
    def behind_s(self) -> float:
        """The delay behind the minimum rate; 0 where no bytes are held."""
        return self.rate.behind_s if self.held_bytes else 0.0

    def evict(self) -> None:
        """Release the bytes, and end reading with an error."""
        behind_s = round(self.behind_s, 1)
        self.evicted = UploadTimeout(
            f"the upload was {behind_s} s behind the minimum rate, and other uploads needed its "
            f"{self.held_bytes} bytes of memory",
            value=behind_s,
            limit=EVICTABLE_BEHIND_S,
        )
        self.stop_waiting()
        self._buffer.close()
        if self._on_evicted is not None:
            self._on_evicted()


def _expire(timeout: asyncio.Timeout) -> None:
    if not timeout.expired():
        timeout.reschedule(0)


class DirectBodyReceiver:
    """Receiver of a directly delivered body, which feeds a sink.

    Attributes
    ----------
    done : future that is done when the body is complete, or with the error that ended it
    """

    def __init__(self, reader: BodyReader, sink: Callable[[bytes], None]) -> None:
        self._reader, self._rate, self._sink = reader, reader.rate, sink
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        reader.start_waiting(self._on_evicted)
        self._timer = self._loop.call_at(self._rate.deadline_s, self._check_rate)

    def on_data(self, data: bytes) -> None:
        if self.done.done():  # with an error: the rest of the body is ignored
            return
        self._reader.stop_waiting()
        self._rate.stop(len(data))
        try:
            self._sink(data)
        except Exception as error:
            self._finish(error)
        else:
            self._reader.start_waiting(self._on_evicted)

    def on_end(self) -> None:
        self._finish(None)

    def on_disconnect(self) -> None:
        self._finish(ClientDisconnect())

    def _on_evicted(self) -> None:
        self._finish(self._reader.evicted)

    def _check_rate(self) -> None:
        """End the upload if its deadline has passed; usually the deadline has moved meanwhile."""
        deadline_s = self._rate.deadline_s
        if self._loop.time() < deadline_s:
            self._timer = self._loop.call_at(deadline_s, self._check_rate)
        else:
            self._finish(self._rate.timeout())

    def _finish(self, error: Exception | None) -> None:
        self._reader.stop_waiting()
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)

    def close(self) -> None:
        self._timer.cancel()
        self._reader.stop_waiting()
        if self.done.done() and not self.done.cancelled():
            self.done.exception()  # retrieved, so that asyncio does not log it
