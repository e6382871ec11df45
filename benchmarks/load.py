"""A closed loop of clients over HTTP, and what they saw."""

from __future__ import annotations

import http.client
import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
BOUNDARY = "tasteprint-benchmark"
START_S = 90.0


@dataclass
class Seen:
    """Requests a second, and the mean of each stage in milliseconds (`Server-Timing`)."""

    per_second: float
    failed: int
    stages_ms: dict[str, float] = field(default_factory=dict)


def multipart(content: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def saturate(url: str, bodies: Sequence[bytes], n_requests: int, n_clients: int) -> Seen:
    """Post `n_requests` uploads from `n_clients` at a time, going round the bodies."""
    address = urlsplit(url)
    turns = itertools.count()
    stages: dict[str, list[float]] = defaultdict(list)
    failed = itertools.count()

    def client() -> None:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
        while (turn := next(turns)) < n_requests:
            body = bodies[turn % len(bodies)]
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            try:
                connection.request("POST", "/embed", body, headers)
                answer = connection.getresponse()
                answer.read()
            except OSError:  # a server that failed may hang up
                connection.close()
                next(failed)
                continue
            if answer.status != 200:
                next(failed)
            for name, ms in re.findall(
                r"(\w+);dur=([\d.]+)", answer.getheader("Server-Timing", "")
            ):
                stages[name].append(float(ms))
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(n_clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    means = {name: sum(values) / len(values) for name, values in stages.items()}
    return Seen(n_requests / elapsed, next(failed), means)


@contextmanager
def serving(command: list[str], port: int, **environment: str) -> Iterator[str]:
    """A server in a process of its own, from the moment that it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command)} did not start")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/openapi.json")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
