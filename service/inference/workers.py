"""Worker threads of one model, with quarantine for workers that fail or hang.

On GPUs each worker has its own device. A failing GPU would drain the queue, since failures are
fast: it is quarantined until a trial batch of silence succeeds, with as many windows as the batch
that failed. A worker that hangs takes no further batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from models.audio.window_choice import Samples
from service.inference.model import Model, Outputs

TRIAL_PAUSE_S = 1.0

log = logging.getLogger("tasteprint")


class WorkerPool:
    """Worker threads of one model, with quarantine.

    Attributes
    ----------
    running : workers with a run in progress, including runs whose result no request waits for
    quarantined : failing workers, while another worker neither fails nor hangs
    all_hung : whether every worker hangs
    """

    def __init__(self, model: Model, timeout_s: float, on_all_hung: Callable[[], None]) -> None:
        self._model = model
        self._timeout_s = timeout_s
        self._on_all_hung = on_all_hung
        self.running: set[int] = set()
        self.quarantined: set[int] = set()
        self.all_hung = False
        self._recovering: set[int] = set()
        self._hung: set[int] = set()
        # Worker -> number of windows in the batch that it failed on.
        self._failing: dict[int, int] = {}
        # A thread for each worker: CUDA's current device is a property of the thread.
        self._threads = [
            ThreadPoolExecutor(1, thread_name_prefix=f"infer-{model.card.name}-{worker}")
            for worker in range(model.n_workers)
        ]

    @property
    def n_free(self) -> int:
        """Number of workers that can take a batch: neither running nor in a trial batch."""
        return len(self._threads) - len(self.running | self._recovering)

    async def run(self, worker: int, windows: list[Samples], *, solo: bool) -> list[Outputs | None]:
        """Each window's outputs without the batch axis; None where they are not finite.

        Parameters
        ----------
        solo : no other window is in flight; if no other worker is running either, the run uses
            every core

        Raises
        ------
        Exception
            Whatever onnxruntime raises.
        """
        solo = solo and not self.running
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self._mark_hung, worker)
        try:
            self.running.add(worker)
            run = self._threads[worker].submit(_run, self._model, windows, worker, solo)
            run.add_done_callback(lambda _: self.running.discard(worker))
            rows = await asyncio.wrap_future(run)
        except Exception:
            self._mark_failing(worker, len(windows))
            raise
        finally:
            timer.cancel()
            if worker in self._hung:
                self._mark_returned(worker)
        if worker in self._failing:
            self._mark_healthy(worker)
        return rows

    async def recover(self, worker: int) -> None:
        """Run a trial batch of silence; if it fails too, pause for a second."""
        silence = np.zeros(self._model.input_shape, np.float32)
        self._recovering.add(worker)
        try:
            await self.run(worker, [silence] * self._failing[worker], solo=False)
        except Exception:  # it was logged when the worker began to fail
            await asyncio.sleep(TRIAL_PAUSE_S)
        finally:
            self._recovering.discard(worker)

    def _mark_failing(self, worker: int, n_windows: int) -> None:
        # If workers share a session, as on a CPU, a failure says nothing about a single worker.
        if self._model.devices > 1:
            if worker not in self._failing:
                log.error("model %s fails: its other workers continue", self._name(worker))
            self._failing[worker] = n_windows
            self._update()

    def _mark_healthy(self, worker: int) -> None:
        del self._failing[worker]
        self._update()
        log.warning("model %s answers again", self._name(worker))

    def _mark_hung(self, worker: int) -> None:
        log.error("model %s has been running for over %g s", self._name(worker), self._timeout_s)
        self._hung.add(worker)
        self._update()
        if self.all_hung:
            self._on_all_hung()

    def _mark_returned(self, worker: int) -> None:
        self._hung.discard(worker)
        self._update()
        log.warning("model %s has returned from a run that was late", self._name(worker))

    def _update(self) -> None:
        """Update `quarantined` and `all_hung`, which the batcher reads for every batch."""
        workers = set(range(len(self._threads)))
        healthy = workers - self._failing.keys() - self._hung
        # A healthy worker is not failing, so it differs from every failing worker.
        self.quarantined = set(self._failing) if healthy else set()
        self.all_hung = self._hung == workers

    def _name(self, worker: int) -> str:
        name = self._model.card.name
        return f"{name} (worker {worker})" if len(self._threads) > 1 else name

    def close(self) -> None:
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)


def _run(model: Model, windows: list[Samples], worker: int, solo: bool) -> list[Outputs | None]:
    """Each window's outputs without the batch axis; None where they are not finite.

    Raises
    ------
    ValueError
        If an output has more or fewer rows than windows: the rows cannot be assigned.
    FloatingPointError
        If one of several devices returns only NaN and infinities.
    """
    # n of (samples,) -> (n, samples)
    batch = windows[0][None] if len(windows) == 1 else np.stack(windows)
    outputs = model.run(batch, worker=worker, solo=solo)
    for name, values in outputs.items():
        if len(values) != len(windows):
            raise ValueError(f"{name} has {len(values)} rows for {len(windows)} windows")
    rows = [_finite_row(outputs, index) for index in range(len(windows))]
    if model.devices > 1 and not any(rows):
        raise FloatingPointError("none of the outputs is finite")
    return rows


def _finite_row(outputs: Outputs, index: int) -> Outputs | None:
    row = {name: values[index] for name, values in outputs.items()}
    return row if all(np.isfinite(values).all() for values in row.values()) else None
