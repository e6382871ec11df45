"""Cancellation of work whose client has disconnected, or whose deadline has passed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from service.errors import DeadlineExceeded

T = TypeVar("T")


async def run_until_disconnect(
    request: Request, work: Coroutine[Any, Any, T], deadline_s: float | None
) -> T:
    """The result of `work`, which a disconnect or the deadline cancels, also in its queues.

    The request's body has been read: the next message that the request receives is
    `http.disconnect`.

    Raises
    ------
    DeadlineExceeded, ClientDisconnect
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(request))
    both: set[asyncio.Task[Any]] = {working, leaving}
    try:
        await asyncio.wait(both, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            raise ClientDisconnect
        raise _deadline_exceeded(deadline_s)
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})


async def with_deadline(deadline_s: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled at the deadline.

    Raises
    ------
    DeadlineExceeded
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await work
    except TimeoutError as error:
        raise _deadline_exceeded(deadline_s) from error


def _deadline_exceeded(deadline_s: float | None) -> DeadlineExceeded:
    return DeadlineExceeded(f"there was no answer within {deadline_s:g} s", limit=deadline_s)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
