"""Single-flight: concurrent equal calls share a computation; a cancelled call does not end it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.pipeline.single_flight import SingleFlight
from tests.running import Service
from tests.sounds import golden, write


def test_identical_uploads_are_computed_once(service: Service, tmp_path: Path) -> None:
    path = write(tmp_path / "same.flac", golden(32.0, seed=50))
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: service.embedding(path), range(8)))
    assert len({str(answer["embedding"]) for answer in answers}) == 1
    assert [answer["cached"] for answer in answers].count(False) == 1
    assert service.log().count(answers[0]["audio"]["sha256"]) == 1  # one line a computation


async def until(gate: asyncio.Event, answer: str) -> str:
    await gate.wait()
    return answer


def test_a_cancelled_caller_does_not_cancel_the_computation() -> None:
    async def scenario() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        gate = asyncio.Event()
        first = flights.call("key", lambda: until(gate, "of the first"))
        second = flights.call("key", lambda: until(gate, "of the second"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        gate.set()
        assert await second == "of the first"

    asyncio.run(scenario())


def test_the_last_cancelled_caller_cancels_the_computation() -> None:
    async def scenario() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        ended = asyncio.Event()

        async def computation() -> str:
            try:
                return await until(asyncio.Event(), "never")
            finally:
                ended.set()

        askers = [flights.call("key", computation) for _ in range(2)]
        await asyncio.sleep(0)
        assert flights.is_running("key")
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
        assert not flights.is_running("key")  # the next call starts a new computation
        async with asyncio.timeout(5):
            await ended.wait()

    asyncio.run(scenario())


def test_an_error_reaches_every_asker_and_is_not_kept() -> None:
    async def scenario() -> None:
        flights: SingleFlight[str, str] = SingleFlight(keep=1)

        async def computation() -> str:
            raise ValueError("bad")

        askers = [flights.call("key", computation) for _ in range(3)]
        results = await asyncio.gather(*askers, return_exceptions=True)
        assert [str(result) for result in results] == ["bad"] * 3
        assert not flights.is_running("key")
        gate = asyncio.Event()
        gate.set()
        assert await flights.call("key", lambda: until(gate, "good")) == "good"

    asyncio.run(scenario())


def test_the_latest_results_are_kept_up_to_the_limit() -> None:
    async def scenario() -> list[int]:
        flights: SingleFlight[str, None] = SingleFlight(keep=2)
        made = dict.fromkeys("abc", 0)

        async def make(key: str) -> None:
            made[key] += 1

        for key in ["a", "b", "a", "c", "c", "b", "a"]:
            await flights.call(key, make, key)
        return list(made.values())

    assert asyncio.run(scenario()) == [2, 1, 1]


def test_closing_ends_what_runs() -> None:
    async def scenario() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        caller = flights.call("key", until, asyncio.Event(), "never")
        await asyncio.sleep(0)
        await flights.close()
        with pytest.raises(asyncio.CancelledError):
            await caller

    asyncio.run(scenario())
