"""Once: what several ask for at a time is computed once, and dropped where all have left."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


@dataclass
class _Shared(Generic[T]):
    """A computation, and how many wait for it."""

    task: asyncio.Task[T]
    askers: int = 0


class Once(Generic[K, T]):
    """Computations by key, shared by whoever asks while they run; the last `keep` results stay.

    A computation belongs to no asker: it goes on for the others where one leaves, and is
    cancelled when the last one does.
    """

    def __init__(self, keep: int = 0) -> None:
        self._keep = keep
        self._running: dict[K, _Shared[T]] = {}
        self._kept: OrderedDict[K, T] = OrderedDict()

    def runs(self, key: K) -> bool:
        return key in self._running

    def __len__(self) -> int:
        return len(self._running)

    async def get(self, key: K, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result that is kept, or that of the computation under way, else of a new one."""
        if key in self._kept:
            return self._kept[key]
        shared = self._running.get(key) or self._start(key, make())
        shared.askers += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.askers -= 1
            if not shared.askers and not shared.task.done():
                del self._running[key]  # whoever asks from now on starts a new one
                shared.task.cancel()

    def _start(self, key: K, computation: Coroutine[Any, Any, T]) -> _Shared[T]:
        shared = _Shared(asyncio.create_task(computation))
        self._running[key] = shared
        shared.task.add_done_callback(lambda _: self._landed(key, shared))
        return shared

    def _landed(self, key: K, shared: _Shared[T]) -> None:
        if self._running.get(key) is shared:
            del self._running[key]
        # An exception is looked at, so that asyncio reports none where every asker has left.
        if shared.task.cancelled() or shared.task.exception():
            return
        if self._keep:
            self._kept[key] = shared.task.result()
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)

    async def close(self) -> None:
        """Cancel whatever runs, and wait for its end."""
        tasks = [shared.task for shared in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
