"""Identical requests at a time are computed once, and none that leaves takes the others along."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.flight import Flights
from tests.running import Service
from tests.sounds import golden, write


def test_identical_uploads_are_computed_once(service: Service, tmp_path: Path) -> None:
    path = write(tmp_path / "same.flac", golden(32.0, seed=50))
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: service.embedding(path), range(8)))
    assert len({str(answer["embedding"]) for answer in answers}) == 1
    assert [answer["cached"] for answer in answers].count(False) == 1
    assert service.log().count(answers[0]["audio"]["sha256"]) == 1  # one line a computation


def test_first_client_that_leaves_does_not_end_it() -> None:
    async def scenario() -> str:
        flights: Flights[str] = Flights()
        gate = asyncio.Event()

        async def computation() -> str:
            await gate.wait()
            return "answer"

        flight = flights.start("key", computation())
        first = asyncio.ensure_future(asyncio.shield(flight))
        await asyncio.sleep(0)
        first.cancel()
        second = flights.find("key")
        assert second is flight
        gate.set()
        return await asyncio.shield(second)

    assert asyncio.run(scenario()) == "answer"


def test_an_error_reaches_every_waiter_and_is_not_kept() -> None:
    async def scenario() -> None:
        flights: Flights[str] = Flights()

        async def computation() -> str:
            raise ValueError("bad")

        flight = flights.start("key", computation())
        waiters = [asyncio.shield(flight) for _ in range(3)]
        results = await asyncio.gather(*waiters, return_exceptions=True)
        assert [str(result) for result in results] == ["bad"] * 3
        assert flights.find("key") is None

    asyncio.run(scenario())


def test_closing_ends_what_runs() -> None:
    async def scenario() -> None:
        flights: Flights[str] = Flights()

        async def forever() -> str:
            await asyncio.Event().wait()
            return ""

        flight = flights.start("key", forever())
        await flights.close()
        with pytest.raises(asyncio.CancelledError):
            await flight

    asyncio.run(scenario())
