"""Throughput of `/embed` beside 10,000 idle connections, and beside 200 uploads of 1 byte/s."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks.latency import uploads
from benchmarks.load import Seen, saturate
from benchmarks.processes import SERVICE, Server, allow_files, serving
from benchmarks.result import Benchmark, Figures, Goal, Plan
from benchmarks.wire import connect, is_open, post

N_IDLE, N_SLOW = 10_000, 200
N_REQUESTS, N_WARM, N_CLIENTS = 150, 20, 8
# Two per connection in the service, one here, and some for other files.
FILES = 2 * N_IDLE + 2_000
# The service would close connections that send no request; here they must stay open.
PATIENCE_S = "600"
SLOW = post(bytes(100_000)).removesuffix(bytes(100_000))  # a request's headers


Crowd = AbstractContextManager[list[socket.socket]]


@contextmanager
def idle(service: Server, count: int) -> Iterator[list[socket.socket]]:
    """Open idle connections."""
    connections = []
    try:
        for _ in range(count):
            connections.append(connect(service.port))
        yield connections
    finally:
        for connection in connections:
            connection.close()


@contextmanager
def slow(service: Server, count: int) -> Iterator[list[socket.socket]]:
    """Run uploads that send 1 byte/s each."""
    ended = threading.Event()
    with idle(service, count) as connections:
        for connection in connections:
            connection.sendall(SLOW)

        def trickle() -> None:
            while not ended.wait(1):
                for connection in connections:
                    if is_open(connection):
                        connection.send(b"\0")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield connections
        finally:
            ended.set()
            thread.join()


def measure(plan: Plan) -> Figures:
    files = allow_files(FILES)
    requests = uploads(plan)
    with serving(
        *SERVICE, TASTEPRINT_CACHE_ENTRIES="0", TASTEPRINT_HEAD_TIMEOUT_S=PATIENCE_S
    ) as service:
        run = _saturated(service, requests, plan)
        run()
        rows = [
            _beside(run, "idle connections", lambda: idle(service, plan.of(N_IDLE, 500))),
            _beside(run, "uploads at a byte a second", lambda: slow(service, plan.of(N_SLOW, 20))),
        ]
    return {"files": files, "rows": rows}


def _saturated(service: Server, requests: list[bytes], plan: Plan) -> Callable[[], Seen]:
    return lambda: saturate(service.port, requests, plan.of(N_REQUESTS, 10), N_CLIENTS)


def _beside(run: Callable[[], Seen], what: str, crowd: Callable[[], Crowd]) -> Figures:
    """Requests per second beside the crowd, and without it (before and after)."""
    before = run().per_second
    with crowd() as connections:
        seen = run()
        n_open = sum(map(is_open, connections))
    after = run().per_second
    row = {
        "what": what,
        "count": len(connections),
        "still_open": n_open,
        "with_per_s": seen.per_second,
        "failed": seen.failed,
        "without_per_s": (before + after) / 2,
    }
    print(_row(row), flush=True)
    return row


def _row(row: Figures) -> str:
    return (
        f"| {row['count']} {row['what']} ({row['still_open']} open at the end) "
        f"| {row['with_per_s']:.1f} | {row['without_per_s']:.1f} "
        f"| {row['with_per_s'] / row['without_per_s']:.2f} | {row['failed']} |"
    )


def table(figures: Figures) -> str:
    header = "| beside | requests/s | without | ratio | not answered |\n|---|---|---|---|---|"
    return "\n".join([header, *map(_row, figures["rows"])])


def goals(figures: Figures) -> list[Goal]:
    return [
        Goal(
            f"`/embed` beside {row['count']} {row['what']} ÷ without",
            row["with_per_s"] / row["without_per_s"],
            min=0.9,
        )
        for row in figures["rows"]
    ]


CROWD = Benchmark("crowd", "Idle connections and slow uploads", measure, table, goals)
