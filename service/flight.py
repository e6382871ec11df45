"""Single flight: what several requests ask for at a time is computed once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Running computations by key; they belong to no request, so none that leaves ends one."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[T]] = {}

    def find(self, key: str) -> asyncio.Task[T] | None:
        return self._running.get(key)

    def start(self, key: str, computation: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(computation)
        self._running[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return task

    def _landed(self, key: str, task: asyncio.Task[T]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio reports none where every client left

    async def close(self) -> None:
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
