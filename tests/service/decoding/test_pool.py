"""A decoder that crashes, hangs or is killed fails only its own request."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from models.audio.window_choice import WindowChoice
from models.audio.windows import Windows, read_windows
from models.card import AudioInput, Patches
from models.errors import NotAudio
from service.decoding.messages import DecodeResponse
from service.decoding.pool import DecodePool
from service.decoding.worker import DecoderWorker
from service.errors import DecoderCrashed, DecoderLost, DecodeTimeout
from service.settings import Settings
from tests.bundles import AUDIO
from tests.running import DEADLINE_S, Service, decoders_of, wait_until
from tests.sounds import golden, write

PATCHED = AUDIO.model_copy(update={"patches": Patches(seconds=0.1, starts_s=(0.2, 0.75))})


def with_pool(scenario: Callable[[DecodePool], Awaitable[None]], **settings: object) -> None:
    async def run() -> None:
        pool = DecodePool(Settings.model_validate({"decode_workers": 1, **settings}))
        await pool.start()
        try:
            await scenario(pool)
        finally:
            await pool.close()

    asyncio.run(run())
    assert not decoders()


def decoders() -> list[int]:
    return decoders_of(os.getpid())


async def stuck(pool: DecodePool, path: Path) -> asyncio.Task[Windows]:
    """A decoding that has begun and does not go on."""
    os.kill(decoders()[0], signal.SIGSTOP)
    task = asyncio.create_task(pool.decode(path, AUDIO, "middle"))
    await asyncio.sleep(0)  # runs the task up to where it waits for the answer
    return task


async def decodes(pool: DecodePool, path: Path) -> None:
    """Wait until a file is decoded within the pool's limit, which a busy machine may exceed."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(DecodeTimeout):
                await pool.decode(path, AUDIO, "middle")
                return


@pytest.mark.parametrize("audio", [AUDIO, PATCHED])
def test_samples_are_those_that_training_reads(short_clip: Path, audio: AudioInput) -> None:
    async def scenario(pool: DecodePool) -> None:
        for window in ("middle", "all", "start"):
            served = await pool.decode(short_clip, audio, window)
            trained = read_windows(short_clip, audio, WindowChoice.parse(window))
            assert (served.samples == trained.samples).all()
            assert (served.info, served.starts_s) == (trained.info, trained.starts_s)

    with_pool(scenario)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        (signal.SIGKILL, DecoderLost),
        (signal.SIGTERM, DecoderLost),
        (signal.SIGSEGV, DecoderCrashed),
        (signal.SIGABRT, DecoderCrashed),
        (signal.SIGPROF, DecodeTimeout),
    ],
)
def test_a_decoder_that_dies_costs_its_own_request(
    short_clip: Path, how: signal.Signals, error: type[Exception]
) -> None:
    async def scenario(pool: DecodePool) -> None:
        task = await stuck(pool, short_clip)
        (decoder,) = decoders()
        os.kill(decoder, how)
        with suppress(ProcessLookupError):  # killed and waited for already
            os.kill(decoder, signal.SIGCONT)
        with pytest.raises(error):
            await task
        windows = await pool.decode(short_clip, AUDIO, "middle")
        assert windows.samples.shape == (1, AUDIO.window_samples)
        assert decoders() != [decoder]

    with_pool(scenario)


def test_all_killed_at_once_cost_their_own_requests_alone(short_clip: Path) -> None:
    async def scenario(pool: DecodePool) -> None:
        before = decoders()
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        jobs = [asyncio.create_task(pool.decode(short_clip, AUDIO, "middle")) for _ in range(5)]
        while pool.waiting < 3:
            await asyncio.sleep(0)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [isinstance(result, DecoderLost) for result in results] == [True] * 2 + [False] * 3
        assert all(isinstance(result, Windows) for result in results[2:])
        assert len(decoders()) == 2

    with_pool(scenario, decode_workers=2)


def test_a_decoder_that_exits_is_replaced_before_the_next_request(short_clip: Path) -> None:
    async def scenario(pool: DecodePool) -> None:
        (before,) = decoders()
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE_S):
            while decoders() in ([], [before]):
                await asyncio.sleep(0.01)
        await pool.decode(short_clip, AUDIO, "middle")

    with_pool(scenario)


def test_a_stuck_decoder_is_killed_in_time(short_clip: Path) -> None:
    async def scenario(pool: DecodePool) -> None:
        task = await stuck(pool, short_clip)
        with pytest.raises(DecodeTimeout):
            await task
        await decodes(pool, short_clip)

    with_pool(scenario, decode_timeout_s=0.5)


def test_a_cancelled_decoding_keeps_its_process_and_mixes_up_no_responses(
    short_clip: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other.wav", golden(2.0, 8_000, 1), 8_000)

    async def scenario(pool: DecodePool) -> None:
        (decoder,) = decoders()
        task = await stuck(pool, short_clip)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        waits = asyncio.create_task(pool.decode(other, AUDIO, "middle"))
        await asyncio.sleep(0)
        os.kill(decoder, signal.SIGCONT)
        assert (await waits).info.sample_rate == 8_000
        assert decoders() == [decoder]

    with_pool(scenario)


def test_windows_are_decoded_in_parts(tmp_path: Path) -> None:
    sound = golden(6.0, 16_000, 1)
    sound[3 * 16_000 : 5 * 16_000] = 0
    path = write(tmp_path / "x.wav", sound, 16_000)

    async def scenario(pool: DecodePool) -> None:
        whole = await pool.decode(path, AUDIO, "all")
        parts = [await pool.decode(path, AUDIO, "all", slice(at, at + 2)) for at in (0, 2, 3, 4)]
        assert [part.starts_s for part in parts] == [(0.0, 1.0), (2.0,), (), (5.0,)]
        assert whole.starts_s == (0.0, 1.0, 2.0, 5.0)
        assert {part.n_chosen for part in [whole, *parts]} == {6}
        samples = np.concatenate([parts[index].samples for index in (0, 1, 3)])
        np.testing.assert_array_equal(samples, whole.samples)

    with_pool(scenario)


def test_a_start_that_is_cancelled_leaves_no_process() -> None:
    async def scenario() -> None:
        start = asyncio.create_task(DecoderWorker.start(Settings()))
        await asyncio.to_thread(wait_until, lambda: bool(decoders()), "the process is there")
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        assert not decoders()

    asyncio.run(scenario())


def test_a_decoder_that_answers_more_windows_than_it_may_is_ended(
    short_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lie(*_: object) -> DecodeResponse:
        info = {"codec": "x", "sample_rate": 1, "channels": 1, "duration_s": 1, "notes": []}
        windows = {"starts_s": [0.0] * 3, "n_chosen": 3, "silent_peak": 0, "is_moved": False}
        return DecodeResponse.model_validate(info | windows)

    async def scenario(pool: DecodePool) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(DecoderWorker, "_request", lie)
            with pytest.raises(DecoderLost, match="more windows"):
                await pool.decode(short_clip, AUDIO, "all")
        await pool.decode(short_clip, AUDIO, "middle")

    with_pool(scenario, max_windows=2)


def test_many_exits_leave_no_files_open(short_clip: Path) -> None:
    async def die(pool: DecodePool) -> None:
        task = await stuck(pool, short_clip)
        os.kill(decoders()[0], signal.SIGKILL)
        with pytest.raises(DecoderLost):
            await task
        await pool.decode(short_clip, AUDIO, "middle")

    async def scenario(pool: DecodePool) -> None:
        await die(pool)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            await die(pool)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before

    with_pool(scenario)


def test_an_error_keeps_its_class_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no audio")

    async def scenario(pool: DecodePool) -> None:
        (decoder,) = decoders()
        with pytest.raises(NotAudio) as caught:
            await pool.decode(path, AUDIO, "middle")
        assert caught.value.remedy
        assert decoders() == [decoder]

    with_pool(scenario)


def test_a_decoder_killed_while_idle_costs_no_request(service: Service, tmp_path: Path) -> None:
    before = service.decoders()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(before) & set(service.decoders()), "they are gone")
    for seed in (70, 71, 72):
        service.embedding(write(tmp_path / f"{seed}.wav", golden(2.0, seed=seed)))
