"""The load generator: it counts what a server keeps waiting, and what it refuses."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest

from benchmarks.load import Seen, arrive, saturate
from benchmarks.wire import multipart
from tests.running import DEADLINE_S

TAKES_S = 0.05


class OneAtATime(http.server.BaseHTTPRequestHandler):
    """Takes a while for each request, and no two at a time; refuses one path."""

    protocol_version = "HTTP/1.1"
    turn = threading.Lock()
    turns_s: ClassVar[list[float]] = []  # when each began and ended

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        refused = self.path == "/refused"
        with self.turn:
            self.turns_s.append(time.perf_counter())
            time.sleep(0 if refused else TAKES_S)
            self.turns_s.append(time.perf_counter())
        self.send_response(429 if refused else 200)
        self.send_header("Retry-After", "7")
        self.send_header("Server-Timing", "decode;dur=12.50, infer;dur=3")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneAtATime) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(DEADLINE_S)


def test_a_closed_loop_finds_what_a_server_can_do(port: int) -> None:
    seen = saturate(port, [multipart(b"x")], 12, 3)
    assert (len(seen.outcomes), seen.failed) == (12, 0)
    turns_s = OneAtATime.turns_s[-2 * 12 :]
    could_per_second = 12 / (turns_s[-1] - turns_s[0])  # on a machine that may be busy
    assert 0.5 * could_per_second < seen.per_second <= could_per_second <= 1 / TAKES_S
    assert seen.stages_ms == {"decode": 12.5, "infer": 3.0}


def test_an_open_loop_counts_what_waits_in_the_queue(port: int) -> None:
    # Twice what the server can do: the last of 20 waits for half of the others.
    seen = arrive(port, [multipart(b"x")], 2 / TAKES_S, 0.5)
    assert (len(seen.outcomes), seen.failed) == (20, 0)
    assert seen.latencies_ms()["max"] > 1e3 * 6 * TAKES_S


def test_an_open_loop_is_the_same_each_time(port: int) -> None:
    runs = [arrive(port, [multipart(b"x", "/refused")], 100, 0.1, seed=3) for _ in range(2)]
    gaps = [[later - first for later in rest] for first, *rest in (dues(run) for run in runs)]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-9)


def dues(seen: Seen) -> list[float]:
    return sorted(outcome.due_s for outcome in seen.outcomes)


def test_a_refusal_is_seen_with_when_to_come_again(port: int) -> None:
    seen = saturate(port, [multipart(b"x", "/refused")], 3, 1)
    assert [outcome.status for outcome in seen.outcomes] == [429] * 3
    assert {outcome.retry_after for outcome in seen.outcomes} == {"7"}
    assert seen.per_second == 0


def test_a_broken_connection_is_an_outcome() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), OneAtATime) as closed:
        free: int = closed.server_address[1]  # where no server listens any more
    seen = saturate(free, [multipart(b"x")], 2, 1)
    assert [outcome.status for outcome in seen.outcomes] == [0, 0]
