"""A real service in a subprocess, and its state as seen from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
# Of every wait: far beyond what a busy machine needs, so that only a hang meets it.
DEADLINE_S = 90.0


def wait_until(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until it holds; fail with `what` where it never does."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.02)


@dataclass
class Service:
    """A running service; `url` is where it listens."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path
    http: httpx.Client

    def log(self) -> str:
        return self.output.read_text()

    def wait(self) -> int:
        """Wait for the end of the service; its exit status."""
        return exit_status(self.process, self.output)

    def metric(self, line: str) -> bool:
        """Whether `/metrics` has that line, a name and its value."""
        return line in self.http.get("/metrics").text.splitlines()

    def is_stopping(self) -> bool:
        """Whether new work is refused, since the service ends."""
        response = self.http.get("/readyz")
        return response.status_code == 503 and "urn:tasteprint:stopping" in response.text

    def post(self, route: str, file: Path | bytes, **query: str | int | bool) -> httpx.Response:
        """Post one file by multipart."""
        content = file.read_bytes() if isinstance(file, Path) else file
        return self.http.post(route, files={"file": ("x", content)}, params=query)

    def answer(self, route: str, file: Path | bytes, **query: str | int | bool) -> dict[str, Any]:
        """What a route answers to a good file."""
        response = self.post(route, file, **query)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def embed(self, file: Path | bytes, **query: str | int | bool) -> httpx.Response:
        return self.post("/embed", file, **query)

    def embedding(self, file: Path | bytes, **query: str | int | bool) -> dict[str, Any]:
        return self.answer("/embed", file, **query)

    def decoders(self) -> list[int]:
        """Process ids of the decoders."""
        return decoders_of(self.process.pid)

    def memory_bytes(self) -> int:
        """Resident memory of the service and its decoders."""
        return sum(resident_bytes(pid) for pid in [self.process.pid, *self.decoders()])

    def open_files(self) -> int:
        """File descriptors of the service and its decoders."""
        pids = [self.process.pid, *self.decoders()]
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)  # noqa: PTH208

    def held_bytes(self) -> int:
        """Bytes of uploads, as the service counts them or as its anonymous files hold them."""
        held = re.search(r"^tasteprint_held_bytes (.*)$", self.http.get("/metrics").text, re.M)
        assert held
        return max(int(float(held[1])), self.spooled_bytes())

    def spooled_bytes(self) -> int:
        """Size of the service's anonymous files, which resident memory does not count."""
        open_files = Path(f"/proc/{self.process.pid}/fd").iterdir()
        return sum(size_of_spool(path) for path in open_files)


def decoders_of(pid: int) -> list[int]:
    """The decoder processes among a process's children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in children if is_decoder(child)]


def is_decoder(pid: int) -> bool:
    try:
        return b"service.decoding.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def resident_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def size_of_spool(path: Path) -> int:
    """Size of an open file where it is a spool, else 0; it may be closed meanwhile."""
    try:
        return path.stat().st_size if "memfd:tasteprint" in str(path.readlink()) else 0
    except OSError:
        return 0


def launch(output: Path, **settings: object) -> subprocess.Popen[bytes]:
    """Start the service as `make serve` does, with `TASTEPRINT_*` from `settings`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TASTEPRINT_")}
    given = {f"TASTEPRINT_{key.upper()}": str(value) for key, value in settings.items()}
    with output.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "service"],
            cwd=ROOT,
            env=kept | {"TASTEPRINT_PORT": "0", "TASTEPRINT_LOG_LEVEL": "debug"} | given,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def exit_status(process: subprocess.Popen[bytes], output: Path) -> int:
    """Wait for the end of a process; its exit status.

    Fails where the process hangs, with what it wrote and with the stack of each of its threads.
    """
    try:
        return process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler writes the stacks
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        log = output.read_text()[-10_000:]
        raise AssertionError(f"the service did not end in {DEADLINE_S:g} s:\n{log}") from None
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def running(output: Path, **settings: object) -> Iterator[Service]:
    """A service that listens on a free port, ended by SIGTERM."""
    process = launch(output, **settings)
    try:
        listens = re.compile(r"listens on (http://\S+)")
        wait_until(
            lambda: bool(listens.search(output.read_text())) or process.poll() is not None,
            "the service listens",
        )
        found = listens.search(output.read_text())
        assert found, output.read_text()
        with httpx.Client(base_url=found[1], timeout=DEADLINE_S) as http:
            yield Service(found[1], process, output, http)
    finally:
        process.send_signal(signal.SIGTERM)
        exit_status(process, output)
