"""Cancellation of work whose client disconnected, or whose deadline has passed."""

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
    """Await `work`; cancel it, also where it waits in a queue, on a disconnect or at the deadline.

    The request's body must have been read: the next message that the request receives is
    `http.disconnect`.

    Raises
    ------
    DeadlineExceeded, ClientDisconnect
    """
    working = asyncio.create_task(work)
    disconnect = asyncio.create_task(_wait_for_disconnect(request))
    both: set[asyncio.Task[Any]] = {working, disconnect}
    for task in both:
        task.add_done_callback(_retrieve)
    try:
        await asyncio.wait(both, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if disconnect.done():
            raise ClientDisconnect
        raise _deadline_exceeded(deadline_s)
    finally:
        disconnect.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Look at the exception, so that asyncio logs none where the caller was cancelled first."""
    if not task.cancelled():
        task.exception()


async def with_deadline(deadline_s: float, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; cancel it at the deadline.

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
    return DeadlineExceeded(
        f"the answer took longer than the deadline of {deadline_s:g} s", limit=deadline_s
    )


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
