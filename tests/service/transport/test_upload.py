"""Where the upload memory budget is exhausted, slow uploads are evicted, and others never."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request

from service.errors import Busy
from service.settings import Settings
from service.transport.body import BodyReader
from service.transport.upload import UploadBudget
from tests.running import Service, running, wait_until
from tests.service.test_server import HEAD, connect
from tests.sounds import golden, write

MB = 1_000_000
BOUNDS = {"decode_workers": 1, "max_held_bytes": 3 * MB, "max_upload_bytes": 3 * MB}
FORM = (
    b"POST /embed/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
    b"Content-Type: multipart/form-data; boundary=B\r\n\r\n"
    b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
)
RAW = HEAD.format(size=3 * MB).encode()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose upload memory budget one upload exhausts."""
    with running(tmp_path_factory.mktemp("small") / "log", **BOUNDS) as service:
        yield service


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return write(tmp_path / "x.wav", golden(3.0)).read_bytes()


def embed_until_accepted(service: Service, content: bytes) -> None:
    """Send the file until it is accepted: beyond the budget it is refused."""

    def is_accepted() -> bool:
        response = service.embed(content)
        assert response.status_code in {200, 429}, response.text
        return response.status_code == 200

    wait_until(is_accepted, "the budget has room for another upload")


def read_all(client: socket.socket) -> bytes:
    answer = b""
    while data := client.recv(65536):
        answer += data
        if data.endswith((b"}", b"0\r\n\r\n")):
            break
    return answer


@pytest.mark.parametrize(
    ("head", "status"), [(RAW, b"HTTP/1.1 408 "), (FORM, b"HTTP/1.1 200 ")], ids=["one", "a batch"]
)
def test_a_silent_upload_is_evicted(
    small: Service, content: bytes, head: bytes, status: bytes
) -> None:
    with connect(small) as silent:
        silent.sendall(head + bytes(3 * MB - 1000))
        wait_until(lambda: small.held_bytes() > 2.9 * MB, "nearly the whole upload has arrived")
        embed_until_accepted(small, content)
        answer = read_all(silent)
        assert answer.startswith(status)
        assert b"urn:tasteprint:upload-timeout" in answer
        assert b"other uploads needed" in answer
    wait_until(lambda: small.held_bytes() == 0, "the bytes are released once")


def test_an_upload_below_the_minimum_rate_is_evicted_and_one_above_it_is_not(
    small: Service, content: bytes
) -> None:
    fair_size, begun = 150_000, 5 * MB // 2
    with connect(small) as slow, connect(small) as fair:
        slow.sendall(RAW + bytes(begun))
        wait_until(lambda: small.held_bytes() == begun, "the slow upload has begun")
        fair.sendall(HEAD.format(size=fair_size).encode())
        began_at, sent = time.monotonic(), 0
        while sent < fair_size:
            slow.sendall(b"x")
            # Three times the minimum rate.
            due = min(fair_size, round(50_000 * (time.monotonic() - began_at)))
            fair.sendall(bytes(due - sent))
            sent = due
            small.embed(bytes(MB))
        embed_until_accepted(small, content)
        assert b"other uploads needed" in read_all(slow)
        assert b"urn:tasteprint:not-audio" in read_all(fair)


class Holder:
    """Holds one byte until it is closed."""

    held_bytes = 1

    def close(self) -> None:
        self.held_bytes = 0


def test_no_upload_is_evicted_where_all_slow_ones_hold_too_few_bytes() -> None:
    async def scenario() -> None:
        budget, settings = UploadBudget(10), Settings(upload_timeout_s=3)
        request = Request({"type": "http", "headers": []})
        slow = [BodyReader(request, Holder(), budget, settings) for _ in range(5)]
        for body in slow:
            body.start_waiting(lambda: None)
            body.rate.deadline_s -= 2  # two seconds behind
        budget.reserve(10)
        with pytest.raises(Busy):
            budget.reserve(6)
        assert not any(body.evicted for body in slow)
        budget.reserve(2)
        assert sum(body.evicted is not None for body in slow) == 2

    asyncio.run(scenario())
