"""Work that no client waits for is cancelled, and long requests take turns with others."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from service.pipeline.cancellation import run_until_disconnect
from tests.bundles import small_models
from tests.running import running, wait_until
from tests.service.test_bad_input import assert_problem
from tests.service.test_server import HEAD, connect, frozen
from tests.sounds import golden, write


@pytest.mark.parametrize("turns", [1, 2])
def test_an_error_of_the_work_is_retrieved_where_the_caller_is_cancelled(turns: int) -> None:
    logged: list[dict[str, object]] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("no message comes")

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        fails = asyncio.Event()

        async def work() -> None:
            await fails.wait()
            raise RuntimeError("a bug")

        request = Request({"type": "http"}, receive)
        caller = asyncio.create_task(run_until_disconnect(request, work(), 60.0))
        await asyncio.sleep(0)
        fails.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        del caller
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert not logged


def test_a_late_answer_is_504_and_its_work_is_dropped(tmp_path: Path) -> None:
    first, second = (write(tmp_path / f"{seed}.wav", golden(2.0, seed=seed)) for seed in (1, 2))
    with running(tmp_path / "log", **small_models(tmp_path), deadline_s=2.0) as service:
        with frozen(service), ThreadPoolExecutor(2) as clients:
            for answer in clients.map(service.embed, [first, second]):
                problem = assert_problem(answer, 504, "deadline-exceeded")
                assert problem["limit"] == 2.0
                assert answer.headers["retry-after"]
            assert service.held_bytes() == 0
            assert "tasteprint_windows_in_work 0.0" in service.http.get("/metrics").text
            assert "tasteprint_decode_jobs_waiting 0.0" in service.http.get("/metrics").text
        answers: list[httpx.Response] = []

        def answered() -> bool:  # a busy machine may meet the deadline too
            answers.append(service.embed(second))
            return answers[-1].status_code == 200

        wait_until(answered, "work goes on")
        assert answers[-1].json()["cached"] is False


def test_the_work_of_a_client_that_left_is_dropped(tmp_path: Path) -> None:
    content = write(tmp_path / "x.wav", golden(2.0)).read_bytes()
    with running(tmp_path / "log", **small_models(tmp_path)) as service:
        with frozen(service):
            with connect(service) as client:
                client.sendall(HEAD.format(size=len(content)).encode() + content)
                wait_until(lambda: service.held_bytes() > 0, "the upload is there")
            wait_until(lambda: service.held_bytes() == 0, "it is dropped")
            assert "tasteprint_windows_in_work 0.0" in service.http.get("/metrics").text
        assert "status=499" in service.log() or " 499 " in service.log()
        assert service.embedding(content)["cached"] is False


def test_a_long_request_takes_turns_with_a_short_one(tmp_path: Path) -> None:
    """One decoder, sixty windows: the short one's answer comes long before the long one's."""
    long = write(tmp_path / "long.flac", golden(60.0, 8_000, 1), 8_000)
    short = write(tmp_path / "short.wav", golden(2.0, 8_000, 1, seed=5), 8_000)
    with (
        running(
            tmp_path / "log",
            **small_models(tmp_path),
            max_in_flight=5,
        ) as service,
        ThreadPoolExecutor(1) as clients,
    ):
        (decoder,) = service.decoders()
        os.kill(decoder, signal.SIGSTOP)
        answer = clients.submit(service.embedding, long, window="all")
        wait_until(lambda: service.held_bytes() > 0, "the upload is there")
        busy = "tasteprint_windows_in_work 4.0"  # of sixty, and one place is left
        wait_until(lambda: busy in service.http.get("/metrics").text, "it is in work")
        os.kill(decoder, signal.SIGCONT)
        service.embedding(short)
        done = [line for line in service.log().splitlines() if "computed" in line]
        assert len(answer.result()["window"]["starts"]) == 60
        assert len(done) == 1  # the short one, while the long one went on
