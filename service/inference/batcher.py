"""Batch: whatever waits when a model is free goes in one run, up to a cap. No timers."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from dataclasses import dataclass

from models.audio.window_choice import Samples
from service.errors import InferenceFailed, InferenceTimeout, Unavailable
from service.inference.session import Model, Outputs
from service.inference.workers import Lanes, is_finite
from service.observability.events import SILENT, Observer

log = logging.getLogger("tasteprint")


@dataclass(eq=False)
class Waiter:
    """A model's input for one window, and who waits for its answer since when.

    The shape is (window_samples,) of a waveform, (dim,) of what a head takes.
    """

    window: Samples
    answer: asyncio.Future[Inferred]
    since: float
    failed_once: bool = False


@dataclass(frozen=True)
class Inferred:
    """One window's outputs by name, each without the batch axis, and what they took."""

    outputs: Outputs
    queue_ms: float
    infer_ms: float


class Batcher:
    """The queue before one model. Every waiter gets an answer or an error, whatever fails.

    On a CPU a run of several windows takes longer than one after another (their activations do
    not fit its caches), so there the cap is 1, and `lanes` runs go on beside each other. On GPUs a
    lane is a device: whichever is free takes what waits.
    """

    def __init__(self, model: Model, timeout_s: float, observer: Observer = SILENT) -> None:
        self._model = model
        self._observer = observer
        self._timeout_s = timeout_s
        self._waiting: deque[Waiter] = deque()
        self._arrived = asyncio.Event()
        self._lanes = Lanes(model, timeout_s, self._all_hang)
        self._workers = [asyncio.create_task(self._work(lane)) for lane in range(model.lanes)]

    @property
    def running(self) -> int:
        """Runs that are under way, also those that nobody waits for."""
        return self._lanes.running

    @property
    def waiting(self) -> int:
        """Windows that wait for the model."""
        return len(self._waiting)

    async def run(self, window: Samples) -> Inferred:
        """One window's answer, shape `model.input_shape` in.

        Raises
        ------
        InferenceFailed, InferenceTimeout, Unavailable
        """
        if self._workers[0].done():
            raise Unavailable("the service is stopping")
        if self._lanes.hang:
            raise self._hanging()
        waiter = Waiter(window, asyncio.get_running_loop().create_future(), time.perf_counter())
        self._waiting.append(waiter)
        self._arrived.set()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await waiter.answer
        except TimeoutError as error:
            raise InferenceTimeout(
                f"the model did not answer within {self._timeout_s:g} s", limit=self._timeout_s
            ) from error
        finally:
            if waiter in self._waiting:  # `remove` would write its samples into its error
                self._waiting.remove(waiter)

    async def _work(self, lane: int) -> None:
        while True:
            await self._arrived.wait()
            if self._lanes.stands_back(lane):
                await self._lanes.recover(lane)
            elif batch := self._take():
                await self._answer(batch, lane)

    def _take(self) -> list[Waiter]:
        """The longest waiting ones, up to the cap, without those that have left.

        Where other lanes are free too, each takes its part.
        """
        batch: list[Waiter] = []
        part = math.ceil(len(self._waiting) / max(1, self._lanes.free))
        while self._waiting and len(batch) < min(part, self._model.max_batch):
            waiter = self._waiting.popleft()
            if not waiter.answer.done():
                batch.append(waiter)
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _answer(self, batch: list[Waiter], lane: int) -> None:
        started = time.perf_counter()
        self._observer.batch(self._model.card.name, len(batch))
        windows = [waiter.window for waiter in batch]
        alone = not self._lanes.running and not self._waiting
        try:
            rows = await self._lanes.run(lane, windows, alone=alone)
            infer_ms = 1e3 * (time.perf_counter() - started)
            for waiter, mine in zip(batch, rows, strict=True):
                _settle(waiter, Inferred(mine, 1e3 * (started - waiter.since), infer_ms))
        except Exception as error:  # the worker must outlive it, and every waiter must hear of it
            # The text is onnxruntime's, with paths and addresses: not for a client.
            log.exception("model %s failed", self._model.card.name)
            self._fail_or_try_again(batch, lane, error)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("the service is stopping"))
            raise

    def _fail_or_try_again(self, batch: list[Waiter], lane: int, error: Exception) -> None:
        """What one device failed on is tried on another, once: it may be the windows' fault."""
        again = self._lanes.stands_back(lane)
        others = [waiter for waiter in batch if again and not waiter.failed_once]
        for waiter in others:
            waiter.failed_once = True
        lost = [waiter for waiter in batch if waiter not in others]
        _fail(lost, InferenceFailed(f"the model failed ({type(error).__name__})"))
        self._waiting.extendleft(reversed(others))
        if others:
            self._arrived.set()

    def _all_hang(self) -> None:
        """Nobody waits behind them."""
        _fail(list(self._waiting), self._hanging())

    def _hanging(self) -> InferenceTimeout:
        return InferenceTimeout(
            f"the model has not answered for over {self._timeout_s:g} s", limit=self._timeout_s
        )

    async def close(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        _fail(list(self._waiting), Unavailable("the service is stopping"))
        self._lanes.close()


def _settle(waiter: Waiter, inferred: Inferred) -> None:
    if waiter.answer.done():
        return
    if is_finite(inferred.outputs):
        waiter.answer.set_result(inferred)
    else:
        waiter.answer.set_exception(InferenceFailed("the model's answer is not finite"))


def _fail(waiters: list[Waiter], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.answer.done():
            waiter.answer.set_exception(error)
