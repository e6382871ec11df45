"""How long work is wanted: until its deadline, and while its client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from service.errors import DeadlineExceeded

T = TypeVar("T")


async def while_wanted(
    request: Request, work: Coroutine[Any, Any, T], deadline_s: float | None
) -> T:
    """The work's result; what nobody waits for any longer is cancelled, also in its queues.

    The request's body has been read: what it receives next is that its client has left.

    Raises
    ------
    DeadlineExceeded, ClientDisconnect
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    both: set[asyncio.Task[Any]] = {working, leaving}
    try:
        await asyncio.wait(both, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            raise ClientDisconnect
        raise _late(deadline_s)
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def within(deadline_s: float, work: Coroutine[Any, Any, T]) -> T:
    """The work's result, where nobody can leave it alone.

    Raises
    ------
    DeadlineExceeded
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await work
    except TimeoutError as error:
        raise _late(deadline_s) from error


def _late(deadline_s: float | None) -> DeadlineExceeded:
    return DeadlineExceeded(f"there was no answer within {deadline_s:g} s", limit=deadline_s)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
