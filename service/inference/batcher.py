"""Dynamic batching: all windows that wait when a worker is free go in one run, up to a limit.

No timer delays a window: a batch is whatever came while the worker was busy.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from dataclasses import dataclass

from models.audio.window_choice import Samples
from service.errors import InferenceFailed, InferenceTimeout, Unavailable
from service.inference.model import Model, Outputs
from service.inference.workers import WorkerPool
from service.observability.events import NO_LISTENER, EventListener

log = logging.getLogger("tasteprint")


@dataclass(eq=False)
class QueuedWindow:
    """A model's input for one window in the queue, and the future of its answer.

    Attributes
    ----------
    window : (window_samples,) of a waveform, (dim,) of an encoder's output for a head
    queued_at : by `time.perf_counter`
    was_retried : a worker failed on it, and it was queued again
    """

    window: Samples
    answer: asyncio.Future[Inferred]
    queued_at: float
    was_retried: bool = False


@dataclass(frozen=True)
class Inferred:
    """One window's outputs by name, without the batch axis, and the time that they took."""

    outputs: Outputs
    queue_ms: float
    infer_ms: float


class Batcher:
    """The queue of one model. Every queued window gets an answer or an error, whatever fails.

    On a CPU a run of several windows takes longer than one run after another (their activations do
    not fit the caches), so there `max_batch` is 1 and several workers run concurrently. On GPUs a
    worker is a device; whichever is free takes what is queued.
    """

    def __init__(
        self, model: Model, timeout_s: float, listener: EventListener = NO_LISTENER
    ) -> None:
        self._model = model
        self._listener = listener
        self._timeout_s = timeout_s
        self._queue: deque[QueuedWindow] = deque()
        self._not_empty = asyncio.Event()
        self._pool = WorkerPool(model, timeout_s, self._fail_queue)
        self._tasks = [asyncio.create_task(self._work(worker)) for worker in range(model.n_workers)]

    @property
    def running(self) -> int:
        """Runs under way, also those whose answer no request waits for any more."""
        return len(self._pool.running)

    @property
    def waiting(self) -> int:
        """Windows in the queue."""
        return len(self._queue)

    async def run(self, window: Samples) -> Inferred:
        """One window's answer; the window has shape `model.input_shape`.

        Raises
        ------
        InferenceFailed, InferenceTimeout, Unavailable
        """
        if self._tasks[0].done():
            raise Unavailable("the service is stopping")
        if self._pool.all_hung:
            raise self._hung_error()
        queued = QueuedWindow(
            window, asyncio.get_running_loop().create_future(), time.perf_counter()
        )
        self._queue.append(queued)
        self._not_empty.set()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await queued.answer
        except TimeoutError as error:
            raise InferenceTimeout(
                f"the model did not answer within {self._timeout_s:g} s", limit=self._timeout_s
            ) from error
        finally:
            if queued in self._queue:  # `remove` alone would write the samples into its error
                self._queue.remove(queued)

    async def _work(self, worker: int) -> None:
        while True:
            await self._not_empty.wait()
            if worker in self._pool.quarantined:
                await self._pool.recover(worker)
            elif batch := self._next_batch():
                await self._run_batch(batch, worker)

    def _next_batch(self) -> list[QueuedWindow]:
        """The windows that have waited longest, without those whose request has left."""
        limit, batch = self._batch_limit(), list[QueuedWindow]()
        while self._queue and len(batch) < limit:
            queued = self._queue.popleft()
            if not queued.answer.done():
                batch.append(queued)
        if not self._queue:
            self._not_empty.clear()
        return batch

    def _batch_limit(self) -> int:
        """`max_batch`, or an equal share of the queue where other workers are free too."""
        if self._model.max_batch == 1:
            return 1
        share = math.ceil(len(self._queue) / max(1, self._pool.n_free))
        return min(share, self._model.max_batch)

    async def _run_batch(self, batch: list[QueuedWindow], worker: int) -> None:
        started = time.perf_counter()
        self._listener.batch(self._model.card.name, len(batch))
        windows = [queued.window for queued in batch]
        try:
            rows = await self._pool.run(worker, windows, solo=not self._queue)
            infer_ms = 1e3 * (time.perf_counter() - started)
            for queued, outputs in zip(batch, rows, strict=True):
                _resolve(queued, outputs, 1e3 * (started - queued.queued_at), infer_ms)
        except Exception as error:  # the worker's task must go on, and every waiter gets the error
            # onnxruntime's message has paths and addresses, which are not for a client.
            log.exception("model %s failed", self._model.card.name)
            self._retry_or_fail(batch, worker, error)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("the service is stopping"))
            raise

    def _retry_or_fail(self, batch: list[QueuedWindow], worker: int, error: Exception) -> None:
        """Queue windows again, once, for another device: the windows may be what made it fail."""
        can_retry = worker in self._pool.quarantined
        retried = [queued for queued in batch if can_retry and not queued.was_retried]
        for queued in retried:
            queued.was_retried = True
        failed = [queued for queued in batch if queued not in retried]
        _fail(failed, InferenceFailed(f"the model failed ({type(error).__name__})"))
        self._queue.extendleft(reversed(retried))
        if retried:
            self._not_empty.set()

    def _fail_queue(self) -> None:
        """Every worker hangs: let no window wait for them."""
        _fail(list(self._queue), self._hung_error())

    def _hung_error(self) -> InferenceTimeout:
        return InferenceTimeout(
            f"the model has not answered for over {self._timeout_s:g} s", limit=self._timeout_s
        )

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _fail(list(self._queue), Unavailable("the service is stopping"))
        self._pool.close()


def _resolve(
    queued: QueuedWindow, outputs: Outputs | None, queue_ms: float, infer_ms: float
) -> None:
    if queued.answer.done():
        return
    if outputs is None:
        queued.answer.set_exception(InferenceFailed("the model's answer is not finite"))
    else:
        queued.answer.set_result(Inferred(outputs, queue_ms, infer_ms))


def _fail(batch: list[QueuedWindow], error: Exception) -> None:
    for queued in batch:
        if not queued.answer.done():
            queued.answer.set_exception(error)
