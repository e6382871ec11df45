"""Dynamic batching: every queued window gets its own row or an error, whatever fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from models.audio.window_choice import Samples
from service.errors import InferenceFailed, InferenceTimeout, Unavailable
from service.inference.batcher import Batcher, WindowResult
from service.inference.model import Model, Outputs
from service.inference.registry import load_models
from service.settings import Settings
from tests.bundles import write_bundle
from tests.running import DEADLINE_S


@dataclass
class Gated:
    """A model that runs when the gate opens, records its batch sizes, and fails on cue."""

    model: Model
    max_batch: int = 4
    n_workers: int = 1
    devices: int = 1
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    sizes: list[int] = field(default_factory=list)
    solo: list[bool] = field(default_factory=list)
    failures: int = 0
    rows_lost: int = 0

    @property
    def card(self) -> object:
        return self.model.card

    def run(self, windows: Samples, *, worker: int = 0, solo: bool = False) -> Outputs:
        self.entered.set()
        assert self.gate.wait(DEADLINE_S)
        self.sizes.append(len(windows))
        self.solo.append(solo)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("on cue")
        outputs = self.model.run(windows)
        return {name: values[self.rows_lost :] for name, values in outputs.items()}


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    write_bundle(tmp_path, "levels")
    return Gated(load_models(Settings(models_dir=tmp_path)).loaded["levels"])


def windows(gated: Gated, count: int) -> list[Samples]:
    random = np.random.default_rng(0)
    size = gated.model.card.audio.window_samples
    return [random.uniform(-1, 1, size).astype(np.float32) for _ in range(count)]


def batched(
    gated: Gated,
    scenario: Callable[[Batcher], Awaitable[None]],
    timeout_s: float = 30,
    is_only_window: Callable[[], bool] = lambda: True,
) -> None:
    async def run() -> None:
        batcher = Batcher(cast(Model, gated), timeout_s, is_only_window=is_only_window)
        try:
            await scenario(batcher)
        finally:
            gated.gate.set()
            await batcher.close()

    asyncio.run(run())


async def first_enters(
    gated: Gated, batcher: Batcher, window: Samples
) -> asyncio.Task[WindowResult]:
    """Start one run and wait until the model is in it, so that the next windows are queued."""
    task = asyncio.create_task(batcher.run(window))
    assert await asyncio.to_thread(gated.entered.wait, DEADLINE_S)
    return task


def test_queued_windows_run_together_up_to_max_batch(gated: Gated) -> None:
    async def scenario(batcher: Batcher) -> None:
        first, *rest = windows(gated, 7)
        tasks = [await first_enters(gated, batcher, first)]
        tasks += [asyncio.create_task(batcher.run(window)) for window in rest]
        await asyncio.sleep(0)
        gated.gate.set()
        answers = await asyncio.gather(*tasks)
        assert gated.sizes == [1, 4, 2]
        for window, answer in zip([first, *rest], answers, strict=True):
            alone = gated.model.run(window[None])["embedding"][0]
            np.testing.assert_array_equal(answer.outputs["embedding"], alone)

    batched(gated, scenario)


@pytest.mark.parametrize("is_only_window", [True, False])
def test_a_run_uses_every_core_if_no_other_window_is_in_flight(
    gated: Gated, is_only_window: bool
) -> None:
    async def scenario(batcher: Batcher) -> None:
        gated.gate.set()
        await batcher.run(windows(gated, 1)[0])
        assert gated.solo == [is_only_window]

    batched(gated, scenario, is_only_window=lambda: is_only_window)


def test_a_failing_run_fails_its_own_windows_only(gated: Gated) -> None:
    async def scenario(batcher: Batcher) -> None:
        gated.failures = 1
        gated.gate.set()
        with pytest.raises(InferenceFailed) as caught:
            await batcher.run(windows(gated, 1)[0])
        assert "on cue" not in str(caught.value)  # the text is for the log
        answer = await batcher.run(windows(gated, 1)[0])
        assert np.isfinite(answer.outputs["embedding"]).all()

    batched(gated, scenario)


def test_an_output_that_lacks_rows_fails_the_whole_batch(gated: Gated) -> None:
    async def scenario(batcher: Batcher) -> None:
        gated.rows_lost = 1
        tasks = [await first_enters(gated, batcher, window) for window in windows(gated, 3)]
        gated.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [InferenceFailed] * 3
        gated.rows_lost = 0
        assert await batcher.run(windows(gated, 1)[0])

    batched(gated, scenario)


def test_a_row_that_is_not_finite_fails_its_window_only(gated: Gated) -> None:
    async def scenario(batcher: Batcher) -> None:
        first, good, bad = windows(gated, 3)
        bad[:] = np.nan
        tasks = [await first_enters(gated, batcher, first)]
        tasks += [asyncio.create_task(batcher.run(window)) for window in (good, bad)]
        await asyncio.sleep(0)
        gated.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [WindowResult, WindowResult, InferenceFailed]

    batched(gated, scenario)


def test_a_cancelled_window_is_not_run(gated: Gated) -> None:
    async def scenario(batcher: Batcher) -> None:
        first, second, third = windows(gated, 3)
        running = await first_enters(gated, batcher, first)
        left = asyncio.create_task(batcher.run(second))
        stays = asyncio.create_task(batcher.run(third))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        gated.gate.set()
        await asyncio.gather(running, stays)
        assert gated.sizes == [1, 1]

    batched(gated, scenario)


def test_a_hung_model_is_a_timeout_error(gated: Gated) -> None:
    async def scenario(batcher: Batcher) -> None:
        with pytest.raises(InferenceTimeout):
            await batcher.run(windows(gated, 1)[0])

    batched(gated, scenario, timeout_s=0.05)


def test_windows_that_timed_out_leave_the_queue(gated: Gated) -> None:
    async def scenario(batcher: Batcher) -> None:
        waiting = [batcher.run(window) for window in windows(gated, 9)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {InferenceTimeout}
        assert batcher.waiting == 0

    batched(gated, scenario, timeout_s=0.05)


def test_a_run_that_does_not_return_is_still_counted_after_closing(gated: Gated) -> None:
    async def scenario(batcher: Batcher) -> None:
        running = await first_enters(gated, batcher, windows(gated, 1)[0])
        await batcher.close()
        await asyncio.gather(running, return_exceptions=True)
        assert batcher.running == 1
        gated.gate.set()
        async with asyncio.timeout(DEADLINE_S):
            while batcher.running:
                await asyncio.sleep(0.01)

    batched(gated, scenario)


def test_closing_fails_the_queued_windows(gated: Gated) -> None:
    async def scenario(batcher: Batcher) -> None:
        first, second = windows(gated, 2)
        tasks = [await first_enters(gated, batcher, first)]
        tasks.append(asyncio.create_task(batcher.run(second)))
        await asyncio.sleep(0)
        await batcher.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [Unavailable, Unavailable]
        with pytest.raises(Unavailable):
            await batcher.run(first)

    batched(gated, scenario)
