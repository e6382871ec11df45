"""Several devices share a model's work; a device that hangs or fails leaves it to the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from models.audio.window_choice import Samples
from service.errors import InferenceFailed, InferenceTimeout
from service.inference.batcher import Batcher, WindowResult
from service.inference.model import Model
from tests.bundles import AUDIO
from tests.running import DEADLINE_S
from tests.service.devices import Device, on_two_devices

Two = tuple[Model, Device, Device]


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return on_two_devices(tmp_path)


def windows(count: int) -> list[Samples]:
    random = np.random.default_rng(0)
    return [random.uniform(-1, 1, AUDIO.window_samples).astype(np.float32) for _ in range(count)]


def batched(two: Two, scenario: Callable[[Batcher], Awaitable[None]], timeout_s: float) -> None:
    async def run() -> None:
        model, *devices = two
        batcher = Batcher(model, timeout_s)
        try:
            await scenario(batcher)
        finally:
            for device in devices:
                device.goes_on.set()
            await batcher.close()

    asyncio.run(run())


async def holds(device: Device, batcher: Batcher) -> asyncio.Task[WindowResult]:
    """A run that is held on this device: the windows before it go wherever they do."""
    device.goes_on.clear()
    device.entered.clear()
    async with asyncio.timeout(DEADLINE_S):
        while True:
            task = asyncio.create_task(batcher.run(windows(1)[0]))
            while not task.done() and not device.entered.is_set():
                await asyncio.sleep(0.001)
            if device.entered.is_set():
                return task


def test_both_devices_run_at_the_same_time_and_answer_the_same(two: Two) -> None:
    model, one, other = two
    one.meet = other.meet = threading.Barrier(2, timeout=DEADLINE_S).wait  # passed by both or none

    async def scenario(batcher: Batcher) -> None:
        window = windows(1)[0]
        first = asyncio.create_task(batcher.run(window))
        async with asyncio.timeout(DEADLINE_S):
            while not (one.entered.is_set() or other.entered.is_set()):
                await asyncio.sleep(0.001)
        answers = await asyncio.gather(first, batcher.run(window))
        first_answer, second_answer = (answer.outputs["embedding"] for answer in answers)
        np.testing.assert_array_equal(first_answer, second_answer)

    batched(two, scenario, DEADLINE_S)
    assert one.sizes == other.sizes == [1]
    assert (model.n_workers, model.devices) == (2, 2)


def test_the_free_device_takes_the_whole_queue(two: Two) -> None:
    _, one, other = two

    async def scenario(batcher: Batcher) -> None:
        held = await holds(one, batcher)
        before = len(other.sizes)
        answers = await asyncio.gather(*(batcher.run(window) for window in windows(9)))
        assert len(answers) == 9
        assert other.sizes[before:] == [4, 4, 1]
        one.goes_on.set()
        await held

    batched(two, scenario, DEADLINE_S)


def test_free_devices_share_concurrent_windows(two: Two) -> None:
    _, one, other = two
    one.meet = other.meet = threading.Barrier(
        2, timeout=DEADLINE_S
    ).wait  # neither is done before the other

    async def scenario(batcher: Batcher) -> None:
        await asyncio.gather(*(batcher.run(window) for window in windows(6)))

    batched(two, scenario, DEADLINE_S)
    assert (one.sizes, other.sizes) == ([3], [3])


def test_a_device_that_hangs_leaves_the_other_answering(two: Two) -> None:
    _, one, other = two

    async def scenario(batcher: Batcher) -> None:
        held = await holds(one, batcher)
        with pytest.raises(InferenceTimeout):
            await held
        for window in windows(5):
            assert await batcher.run(window)
        last = await holds(other, batcher)
        with pytest.raises(InferenceTimeout):
            await last
        async with asyncio.timeout(DEADLINE_S):  # then no window waits for them
            while True:
                with pytest.raises(InferenceTimeout) as caught:
                    await batcher.run(windows(1)[0])
                if "has not answered" in str(caught.value):
                    break
        one.goes_on.set()
        async with asyncio.timeout(DEADLINE_S):
            while batcher.running > 1:
                await asyncio.sleep(0.001)
        assert await batcher.run(windows(1)[0])

    batched(two, scenario, 0.3)


@pytest.mark.parametrize("fails", ["raises", "says_nan"])
def test_a_failing_device_is_quarantined_until_a_probe_succeeds(two: Two, fails: str) -> None:
    _, one, other = two
    setattr(one, fails, True)

    async def scenario(batcher: Batcher) -> None:
        for window in windows(40):  # one after another: either device is free for each
            assert await batcher.run(window)
        assert len(other.sizes) == 40
        setattr(one, fails, False)
        held = await holds(other, batcher)
        async with asyncio.timeout(DEADLINE_S):
            assert await batcher.run(windows(1)[0])
        other.goes_on.set()
        await held

    batched(two, scenario, DEADLINE_S)


def test_a_quarantined_device_gets_no_share_of_the_queue(two: Two) -> None:
    _, one, other = two
    one.raises = True

    async def scenario(batcher: Batcher) -> None:
        held = await holds(other, batcher)
        before = len(other.sizes)
        both = asyncio.gather(*(batcher.run(window) for window in windows(4)))
        async with asyncio.timeout(DEADLINE_S):
            while not one.sizes:
                await asyncio.sleep(0.001)
        other.goes_on.set()
        await asyncio.gather(held, both)
        assert other.sizes[before + 1 :] == [4]

    batched(two, scenario, DEADLINE_S)


def test_a_device_without_memory_for_a_batch_fails_no_request(two: Two) -> None:
    _, one, other = two
    one.max_windows = 1

    async def scenario(batcher: Batcher) -> None:
        for _ in range(10):
            answers = await asyncio.gather(*(batcher.run(window) for window in windows(8)))
            assert len(answers) == 8

    batched(two, scenario, DEADLINE_S)
    assert sum(other.sizes) == 80


def test_a_window_that_two_devices_fail_on_is_an_error(two: Two) -> None:
    _, one, other = two
    one.raises = other.raises = True

    async def scenario(batcher: Batcher) -> None:
        with pytest.raises(InferenceFailed):
            await batcher.run(windows(1)[0])

    batched(two, scenario, DEADLINE_S)
    assert one.sizes
    assert other.sizes


def test_where_every_device_fails_requests_get_errors_until_a_device_recovers(two: Two) -> None:
    _, one, other = two
    one.raises = other.raises = True

    async def scenario(batcher: Batcher) -> None:
        for window in windows(6):
            with pytest.raises(InferenceFailed):
                await batcher.run(window)
        one.raises = other.raises = False
        assert await batcher.run(windows(1)[0])

    batched(two, scenario, DEADLINE_S)
