"""Server subprocess: start, CPU time and memory of its process tree, stop."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Seen
from benchmarks.wire import fetch

ROOT = Path(__file__).parents[1]
START_S, END_S = 90.0, 10.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
N_CORES = len(os.sched_getaffinity(0))
SERVICE = ("-m", "service")


@dataclass(frozen=True)
class Server:
    """A running server, and the resource usage of its processes since their start.

    Attributes
    ----------
    ready_s : from the process's start to its first good answer
    """

    port: int
    pid: int
    ready_s: float

    def cpu_s(self) -> tuple[float, float]:
        """CPU seconds of the main process, and of its descendants."""
        return cpu_s(self.pid), sum(map(cpu_s, below(self.pid)))

    def rss_mb(self) -> tuple[float, float]:
        """Resident megabytes of the main process, and of the whole tree."""
        first = rss_mb(self.pid)
        return first, first + sum(map(rss_mb, below(self.pid)))


@dataclass(frozen=True)
class Shares:
    """Shares of the machine's CPU time during a run; the rest was idle, or other processes'."""

    client: float
    server: float
    workers: float

    @classmethod
    def of(cls, seen: Seen, before: tuple[float, float], after: tuple[float, float]) -> Shares:
        all_s = seen.elapsed_s * N_CORES
        first, rest = (now - then for now, then in zip(after, before, strict=True))
        return cls(seen.client_cpu_s / all_s, first / all_s, rest / all_s)


@contextmanager
def serving(
    *command: str,
    ready: str = "/readyz",
    python: Path | str = sys.executable,
    port: int = 0,
    **environment: str,
) -> Iterator[Server]:
    """Context manager: a server subprocess, from its first 200 at `ready`.

    `PORT` in the command stands for the port.
    """
    port = port or free_port()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TASTEPRINT_")}
    words = [word.replace("PORT", str(port)) for word in command]
    own = {"TASTEPRINT_PORT": str(port)} if command == SERVICE else {}
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(python), *words],
            cwd=ROOT,
            env=kept | own | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _answers(process, port, ready):
                output.seek(0)
                log = output.read()[-4000:].decode(errors="replace")
                raise RuntimeError(f"{' '.join(words)} did not start:\n{log}")
            yield Server(port, process.pid, time.perf_counter() - began)
        finally:
            _end(process)


def _answers(process: subprocess.Popen[bytes], port: int, path: str) -> bool:
    """Wait for the first 200; False if the server exits before, or takes too long."""
    deadline = time.monotonic() + START_S
    while not ((answer := fetch(port, path)) and answer.status == 200):
        if process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    with suppress(ProcessLookupError):  # remaining processes are in its group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def below(pid: int) -> list[int]:
    """Every descendant of a process."""
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                found += [child, *below(child)]
    return found


def cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mb(pid: int) -> float:
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        if found := re.search(r"VmRSS:\s+(\d+) kB", status):
            return int(found[1]) / 1024
    return 0.0


def allow_files(wanted: int) -> int:
    """Raise the limit of open files of this process and its children; returns the limit."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        return wanted
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
