"""Lanes: the runs of one model that go on at a time, each in a thread of its own.

On GPUs a lane is a device. One that fails answers at once, and would so take all that waits: it
leaves that to the others until it has answered a try on silence, of as many windows as it failed
on. One that hangs takes nothing more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from models.audio.window_choice import Samples
from service.inference.session import Model, Outputs

PAUSE_S = 1.0

log = logging.getLogger("tasteprint")


class Lanes:
    """Which of a model's lanes run, hang or fail."""

    def __init__(self, model: Model, timeout_s: float, all_hang: Callable[[], None]) -> None:
        self._model = model
        self._timeout_s = timeout_s
        self._all_hang = all_hang
        self._running: set[int] = set()
        self._recovering: set[int] = set()
        self._hung: set[int] = set()
        self._failing: dict[int, int] = {}
        # A thread for each: CUDA's current device is a thread's.
        self._threads = [
            ThreadPoolExecutor(1, thread_name_prefix=f"infer-{model.card.name}-{lane}")
            for lane in range(model.lanes)
        ]

    @property
    def running(self) -> int:
        """Runs that are under way, also those that nobody waits for."""
        return len(self._running)

    @property
    def free(self) -> int:
        """Lanes that take what waits: in which nothing runs, and which do not stand back."""
        return len(self._threads) - len(self._running | self._recovering)

    @property
    def hang(self) -> bool:
        """Whether there is none that may answer in time."""
        return len(self._hung) == len(self._threads)

    async def run(self, lane: int, windows: list[Samples], *, alone: bool) -> list[Outputs]:
        """Each window's outputs, without the batch axis.

        Raises
        ------
        Exception
            Whatever onnxruntime raises.
        """
        late = asyncio.get_running_loop().call_later(self._timeout_s, self._hangs, lane)
        try:
            self._running.add(lane)
            run = self._threads[lane].submit(_run, self._model, windows, lane, alone)
            run.add_done_callback(lambda _: self._running.discard(lane))
            rows = await asyncio.wrap_future(run)
        except Exception:
            self._fails(lane, len(windows))
            raise
        finally:
            late.cancel()
            if lane in self._hung:
                self._hung.discard(lane)
                log.warning("model %s goes on", self._name(lane))
        self._answers(lane)
        return rows

    def stands_back(self, lane: int) -> bool:
        """Whether it fails, and another does neither that nor hang."""
        others = set(range(len(self._threads))) - self._failing.keys() - self._hung
        return lane in self._failing and bool(others)

    async def recover(self, lane: int) -> None:
        """Try it on silence; where it fails again, leave it alone for a second."""
        silence = np.zeros(self._model.input_shape, np.float32)
        self._recovering.add(lane)
        try:
            await self.run(lane, [silence] * self._failing[lane], alone=False)
        except Exception:  # it was said when it began
            await asyncio.sleep(PAUSE_S)
        finally:
            self._recovering.discard(lane)

    def _fails(self, lane: int, windows: int) -> None:
        # Where lanes share a session, a failure tells nothing of one of them.
        if self._model.devices > 1:
            if lane not in self._failing:
                log.error("model %s fails: the others go on", self._name(lane))
            self._failing[lane] = windows

    def _answers(self, lane: int) -> None:
        if lane in self._failing:
            del self._failing[lane]
            log.warning("model %s answers again", self._name(lane))

    def _hangs(self, lane: int) -> None:
        log.error("model %s has run for over %g s", self._name(lane), self._timeout_s)
        self._hung.add(lane)
        if self.hang:
            self._all_hang()

    def _name(self, lane: int) -> str:
        name = self._model.card.name
        return f"{name} (lane {lane})" if len(self._threads) > 1 else name

    def close(self) -> None:
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)


def _run(model: Model, windows: list[Samples], lane: int, alone: bool) -> list[Outputs]:
    """Each window's own outputs, without the batch axis.

    Raises
    ------
    ValueError
        Where an output has more or fewer rows than windows: whose row is whose is unknown.
    FloatingPointError
        Where one of several devices answers with nothing but NaN and infinities.
    """
    stacked = windows[0][None] if len(windows) == 1 else np.stack(windows)
    outputs = model.run(stacked, lane=lane, alone=alone)  # n of (samples,) -> (n, samples)
    for name, values in outputs.items():
        if len(values) != len(windows):
            raise ValueError(f"{name} has {len(values)} rows for {len(windows)} windows")
    rows = [{name: values[row] for name, values in outputs.items()} for row in range(len(windows))]
    if model.devices > 1 and not any(map(is_finite, rows)):
        raise FloatingPointError("none of the answers is finite")
    return rows


def is_finite(outputs: Outputs) -> bool:
    return all(np.isfinite(values).all() for values in outputs.values())
