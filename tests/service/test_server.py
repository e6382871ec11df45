"""Graceful shutdown loses no accepted request; idle or slow clients do not slow down others."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.bundles import small_models
from tests.running import DEADLINE_S, Service, running, wait_until
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write

HEAD = (
    "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\nContent-Length: {size}\r\n\r\n"
)


def connect(service: Service) -> socket.socket:
    address = urlsplit(service.url)
    return socket.create_connection((address.hostname, address.port or 0), timeout=DEADLINE_S)


@contextmanager
def frozen(service: Service) -> Iterator[None]:
    """No decoder goes on meanwhile, so that what is asked stays in work."""
    for pid in service.decoders():
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in service.decoders():
            os.kill(pid, signal.SIGCONT)


def test_what_was_taken_is_finished_and_new_work_is_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.wav", golden(2.0, seed=seed)) for seed in (1, 2, 3)]
    settings = {**small_models(tmp_path), "shutdown_s": DEADLINE_S}
    with running(tmp_path / "log", **settings) as service, ThreadPoolExecutor(2) as clients:
        with frozen(service):
            answers = [clients.submit(service.embed, path) for path in paths[:2]]
            both = "tasteprint_requests_running 3.0"  # and the one that asks
            wait_until(lambda: service.metric(both), "the uploads are there")
            service.process.send_signal(signal.SIGTERM)
            wait_until(service.is_stopping, "new work is refused")
            with httpx.Client(base_url=service.url) as newcomer:
                refused = newcomer.post("/embed", content=b"x", headers={"Content-Type": "audio/x"})
            assert_problem(refused, 503, "stopping")
            assert refused.headers["retry-after"]
            assert newcomer.is_closed
        assert [answer.result().status_code for answer in answers] == [200, 200]
        assert service.wait() == 0
        assert "Traceback" not in service.log()


def test_an_upload_under_way_is_finished_too(tmp_path: Path) -> None:
    content = write(tmp_path / "x.wav", golden(2.0)).read_bytes()
    settings = {**small_models(tmp_path), "shutdown_s": DEADLINE_S}
    with running(tmp_path / "log", **settings) as service, connect(service) as client:
        client.sendall(HEAD.format(size=len(content)).encode() + content[:1000])
        wait_until(lambda: service.held_bytes() == 1000, "its beginning is there")
        service.process.send_signal(signal.SIGTERM)
        wait_until(service.is_stopping, "new work is refused")
        client.sendall(content[1000:])
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert service.wait() == 0


def test_what_does_not_end_in_time_is_left_and_told_so(tmp_path: Path) -> None:
    content = write(tmp_path / "x.wav", golden(2.0)).read_bytes()
    with (
        running(tmp_path / "log", **small_models(tmp_path), shutdown_s=0.5) as service,
        frozen(service),
        connect(service) as client,
    ):
        client.sendall(HEAD.format(size=len(content)).encode() + content)
        wait_until(lambda: service.held_bytes() > 0, "the upload is there")
        service.process.send_signal(signal.SIGTERM)
        answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in answer
        assert b'"type":"urn:tasteprint:stopping"' in answer
        assert service.wait() == 0
        assert "Traceback" not in service.log()


def test_a_slow_upload_is_aborted_and_holds_no_slot(tmp_path: Path, short_clip: Path) -> None:
    with (
        running(
            tmp_path / "log", **small_models(tmp_path), max_in_flight=1, upload_timeout_s=1.0
        ) as service,
        connect(service) as client,
    ):
        client.sendall(HEAD.format(size=1000).encode())
        client.settimeout(0.1)
        answer, others = b"", []
        while not answer:
            client.sendall(b"x")
            others.append(service.embed(short_clip).status_code)
            with contextlib.suppress(TimeoutError):
                answer = client.recv(4096)
        client.settimeout(DEADLINE_S)
        while b"}" not in answer:
            answer += client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"bytes per second" in answer
        assert set(others) == {200}
        wait_until(lambda: service.held_bytes() == 0, "its bytes are gone")


def test_a_quick_beginning_buys_no_slow_end(tmp_path: Path) -> None:
    with (
        running(tmp_path / "log", **small_models(tmp_path), upload_timeout_s=1.0) as service,
        connect(service) as client,
    ):
        client.sendall(HEAD.format(size=9_000_000).encode() + bytes(4_000_000))
        client.settimeout(0.1)
        answer, started = b"", time.monotonic()
        while not answer:
            # At the minimum rate the beginning would be paid for after 244 s.
            assert time.monotonic() < started + DEADLINE_S
            client.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")


def test_what_a_shutdown_cuts_of_a_batch_is_told_in_its_last_line(tmp_path: Path) -> None:
    head = HEAD.format(size=1000).replace("/embed", "/embed/batch")
    head = head.replace("audio/wav", "multipart/form-data; boundary=b")
    with (
        running(tmp_path / "log", **small_models(tmp_path), shutdown_s=0.5) as service,
        connect(service) as client,
    ):
        client.sendall(head.encode() + b"--b\r\n")
        begun = client.recv(4096)
        service.process.send_signal(signal.SIGTERM)
        answer = begun + client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"type":"urn:tasteprint:stopping"' in answer
        assert answer.endswith(b"\r\n0\r\n\r\n")
        assert service.wait() == 0
        assert "Traceback" not in service.log()


def test_a_large_request_sent_ahead_does_not_take_the_answer_before(
    service: Service, short_clip: Path
) -> None:
    content = short_clip.read_bytes()
    with connect(service) as client:
        client.sendall(HEAD.format(size=len(content)).encode() + content[:-1])
        ahead = HEAD.format(size=150_000).encode() + bytes(150_000)
        client.sendall(content[-1:] + ahead)
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_requests_sent_ahead_are_not_queued(tmp_path: Path) -> None:
    with running(tmp_path / "log", **small_models(tmp_path)) as service, connect(service) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
        answers = b""
        with contextlib.suppress(ConnectionResetError):
            while data := client.recv(65536):
                answers += data
        assert answers.count(b"HTTP/1.1 200") == 1


def test_idle_connections_are_closed_after_the_timeout(tmp_path: Path) -> None:
    with running(tmp_path / "log", **small_models(tmp_path), head_timeout_s=0.5) as service:
        for sent in (b"", b"GET /healthz HT", b"\r\n"):
            with connect(service) as client:
                client.sendall(sent)
                assert _is_closed(client)


def test_connections_without_a_request_are_closed_after_the_keep_alive(tmp_path: Path) -> None:
    with (
        running(tmp_path / "log", **small_models(tmp_path), keep_alive_s=0.3) as service,
        connect(service) as client,
    ):
        client.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert _is_closed(client)


def _is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_client_that_does_not_read_its_answers_is_cut(tmp_path: Path) -> None:
    with (
        running(tmp_path / "log", **small_models(tmp_path), upload_timeout_s=3.0) as service,
        connect(service) as client,
    ):

        def requests_running() -> int:
            found = re.search(r"requests_running (\d)", service.http.get("/metrics").text)
            return int(found[1]) if found else 0

        def fill() -> bool:
            client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            # By the other's answer this one is made, or waits for its client, which reads none.
            service.http.get("/openapi.json")
            return requests_running() == 2  # with the one that asks

        wait_until(fill, "an answer waits for its client")
        wait_until(lambda: requests_running() == 1, "it is cut")


def test_a_body_in_crumbs_is_cut(service: Service) -> None:
    head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: audio/x\r\n"
    with connect(service) as client:
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            client.sendall(b"1\r\na\r\n" * 100_000)
            client.settimeout(DEADLINE_S)
            while client.recv(65536):
                pass
        assert service.http.get("/healthz").status_code == 200
    wait_until(lambda: service.held_bytes() == 0, "its bytes are gone")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /limits?" + b"a&" * 10_000 + b" HTTP/1.1\r\n", 414),
        (
            b"POST /embed HTTP/1.1\r\nContent-Length: 1\r\nContent-Type: " + b";" * 9_000 + b"\r\n",
            415,
        ),
        (b"POST /embed HTTP/1.1\r\nContent-Length: " + b"0" * 5_000 + b"5\r\n", 415),
        (b"GET /metrics HTTP/1.1\r\nAccept: text/plain; version=a\r\n", 200),
        (b"HEAD /healthz HTTP/1.1\r\n", 200),
        (b"POST /embed HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
        (b"POST /embed HTTP/1.1\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", 501),
        (b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n", 200),
        (b"POST /embed/ HTTP/1.1\r\nContent-Length: 0\r\n", 404),
    ],
)
def test_odd_heads_have_their_answers(service: Service, head: bytes, status: int) -> None:
    with connect(service) as client:
        client.sendall(head + b"Host: x\r\nConnection: close\r\n\r\nabcde")
        assert client.recv(4096).startswith(b"HTTP/1.1 %d" % status)


def test_idle_connections_beyond_the_bound_give_way(tmp_path: Path, short_clip: Path) -> None:
    with running(tmp_path / "log", **small_models(tmp_path), max_connections=20) as service:
        idle = [connect(service) for _ in range(100)]
        try:
            assert service.embed(short_clip).status_code == 200
            assert _is_closed(idle[0])  # the one that was idle longest
            open_files = Path(f"/proc/{service.process.pid}/fd")
            wait_until(lambda: len(list(open_files.iterdir())) < 90, "they are closed")
        finally:
            for client in idle:
                client.close()


def test_many_idle_connections_do_not_stop_service(service: Service, short_clip: Path) -> None:
    idle = [connect(service) for _ in range(400)]
    try:
        assert service.embed(short_clip).status_code == 200
    finally:
        for client in idle:
            client.close()
