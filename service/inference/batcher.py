"""Dynamic batching: a free worker runs all queued windows, up to a limit, as one batch.

No timer delays a window: a batch is what arrived while the worker was busy.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from models.audio.window_choice import Samples
from service.errors import InferenceFailed, InferenceTimeout, Unavailable
from service.inference.model import Model, Outputs
from service.inference.workers import WorkerPool
from service.observability.events import NO_LISTENER, EventListener

log = logging.getLogger("tasteprint")


@dataclass(eq=False)
class QueuedWindow:
    """A window in the queue of a model, and the future of its result.

    Attributes
    ----------
    window : a waveform (input_samples,), or for a head its input (dim,)
    queued_at : on the clock of `time.perf_counter`
    was_retried : whether a worker failed on the window and it was queued again
    """

    window: Samples
    answer: asyncio.Future[WindowResult]
    queued_at: float
    was_retried: bool = False


@dataclass(frozen=True)
class WindowResult:
    """One window's outputs by name, without the batch axis, and their queue and run time."""

    outputs: Outputs
    queue_ms: float
    infer_ms: float


class Batcher:
    """Dynamic batcher of one model. Every queued window gets a result or an error, whatever fails.

    On a CPU a batch of several windows takes longer than single runs in sequence (the activations
    do not fit the caches), so `max_batch` is 1 and several workers run concurrently. On GPUs each
    worker is a device, and a free worker takes the queued windows.

    Parameters
    ----------
    is_only_window : whether no other window of any model is in flight. A run may use every core
        only then: beside a window that is being decoded, each of its layers would wait for a
        thread that has no core
    """

    def __init__(
        self,
        model: Model,
        timeout_s: float,
        listener: EventListener = NO_LISTENER,
        is_only_window: Callable[[], bool] = lambda: True,
    ) -> None:
        self.model = self._model = model
        self._listener = listener
        self._is_only_window = is_only_window
        self._timeout_s = timeout_s
        self._queue: deque[QueuedWindow] = deque()
        self._not_empty = asyncio.Event()
        self._pool = WorkerPool(model, timeout_s, self._fail_queue)
        self._tasks = [asyncio.create_task(self._work(worker)) for worker in range(model.n_workers)]

    @property
    def running(self) -> int:
        """Number of runs in progress, including runs whose result no request waits for."""
        return len(self._pool.running)

    @property
    def waiting(self) -> int:
        """Number of windows in the queue."""
        return len(self._queue)

    async def run(self, window: Samples) -> WindowResult:
        """Queue one window, shape `model.input_shape`, and wait for its result.

        Raises
        ------
        InferenceFailed, InferenceTimeout, Unavailable
        """
        if self._tasks[0].done():
            raise Unavailable("the service is shutting down")
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
        """The windows that have waited longest, without windows whose request was cancelled."""
        limit, batch = self._batch_limit(), list[QueuedWindow]()
        while self._queue and len(batch) < limit:
            queued = self._queue.popleft()
            if not queued.answer.done():
                batch.append(queued)
        if not self._queue:
            self._not_empty.clear()
        return batch

    def _batch_limit(self) -> int:
        """`max_batch`, or an equal share of the queue if other workers are free too."""
        if self._model.max_batch == 1:
            return 1
        share = math.ceil(len(self._queue) / max(1, self._pool.n_free))
        return min(share, self._model.max_batch)

    async def _run_batch(self, batch: list[QueuedWindow], worker: int) -> None:
        started = time.perf_counter()
        self._listener.batch(self._model.card.name, len(batch))
        windows = [queued.window for queued in batch]
        try:
            solo = not self._queue and self._is_only_window()
            rows = await self._pool.run(worker, windows, solo=solo)
            infer_ms = 1e3 * (time.perf_counter() - started)
            for queued, outputs in zip(batch, rows, strict=True):
                _resolve(queued, outputs, 1e3 * (started - queued.queued_at), infer_ms)
        except Exception as error:  # the task must survive, and every waiter gets the error
            # Only logged: onnxruntime's message has paths and addresses, not meant for clients.
            log.exception("model %s failed", self._model.card.name)
            self._retry_or_fail(batch, worker, error)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("the service is shutting down"))
            raise

    def _retry_or_fail(self, batch: list[QueuedWindow], worker: int, error: Exception) -> None:
        """Queue windows again for another device, once only: the windows may be the cause."""
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
        """Fail every queued window, since all workers hang."""
        _fail(list(self._queue), self._hung_error())

    def _hung_error(self) -> InferenceTimeout:
        return InferenceTimeout(
            f"the model has not answered for over {self._timeout_s:g} s", limit=self._timeout_s
        )

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _fail(list(self._queue), Unavailable("the service is shutting down"))
        self._pool.close()


def _resolve(
    queued: QueuedWindow, outputs: Outputs | None, queue_ms: float, infer_ms: float
) -> None:
    if queued.answer.done():
        return
    if outputs is None:
        queued.answer.set_exception(InferenceFailed("the model's output is not finite"))
    else:
        queued.answer.set_result(WindowResult(outputs, queue_ms, infer_ms))


def _fail(batch: list[QueuedWindow], error: Exception) -> None:
    for queued in batch:
        if not queued.answer.done():
            queued.answer.set_exception(error)
