"""Single-flight: concurrent calls with equal keys share one computation."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


@dataclass
class _Flight(Generic[T]):
    """A running computation, and the number of callers that wait for its result."""

    task: asyncio.Task[T]
    callers: int = 0


@dataclass(eq=False)
class SingleFlight(Generic[K, T]):
    """Single-flight: calls with a key whose computation is running wait for its result.

    No caller owns a computation: it continues where a caller is cancelled, and is cancelled with
    its last caller.

    Attributes
    ----------
    keep : number of latest results to keep for later calls
    """

    keep: int = 0
    _running: dict[K, _Flight[T]] = field(default_factory=dict, init=False)
    _kept: OrderedDict[K, T] = field(default_factory=OrderedDict, init=False)

    def is_running(self, key: K) -> bool:
        return key in self._running

    def __len__(self) -> int:
        """Number of running computations."""
        return len(self._running)

    def call(
        self, key: K, compute: Callable[..., Coroutine[Any, Any, T]], *arguments: Any
    ) -> asyncio.Future[T]:
        """Future of the key's kept result, of its running computation, or of a new one.

        Parameters
        ----------
        compute : coroutine function, called with `arguments` to start a new computation
        """
        if key in self._kept:
            kept: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            kept.set_result(self._kept[key])
            return kept
        flight = self._running.get(key) or self._start(key, compute(*arguments))
        flight.callers += 1
        result = asyncio.shield(flight.task)
        result.add_done_callback(lambda _: self._on_caller_done(key, flight))
        return result

    def _on_caller_done(self, key: K, flight: _Flight[T]) -> None:
        flight.callers -= 1
        if not flight.callers and not flight.task.done():  # the last caller was cancelled
            if self._running.get(key) is flight:
                del self._running[key]  # the next call starts a new computation
            flight.task.cancel()

    def _start(self, key: K, computation: Coroutine[Any, Any, T]) -> _Flight[T]:
        flight = _Flight(asyncio.create_task(computation))
        self._running[key] = flight
        flight.task.add_done_callback(lambda _: self._on_done(key, flight))
        return flight

    def _on_done(self, key: K, flight: _Flight[T]) -> None:
        if self._running.get(key) is flight:
            del self._running[key]
        # Retrieving the exception keeps asyncio from logging it where every caller was cancelled.
        if flight.task.cancelled() or flight.task.exception():
            return
        if self.keep:
            self._kept[key] = flight.task.result()
            while len(self._kept) > self.keep:
                self._kept.popitem(last=False)

    async def close(self) -> None:
        """Cancel every computation, and wait until all have ended."""
        tasks = [flight.task for flight in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
