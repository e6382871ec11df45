"""Load generator: HTTP clients in a closed or an open loop, their outcomes and CPU cost.

Closed loop: each client sends its next request when the last one is answered, which measures the
maximum throughput. Open loop: requests arrive at random times (Poisson), whether or not previous
requests are answered, and latency counts from when a request was due, so that waiting at a slow
server is included (no coordinated omission).
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.wire import Client

STAGE = re.compile(r"(\w+);dur=([\d.]+)")
# Threads of the open loop: more than the service admits, so that requests are sent when due.
N_THREADS = 96
BROKEN = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request; times are of `time.perf_counter`, status 0 is a broken connection.

    Attributes
    ----------
    due_s : when it was to be sent
    begun_s : when its sending began
    sent_s : when it was sent whole
    """

    due_s: float
    begun_s: float
    sent_s: float
    answered_s: float
    status: int
    retry_after: str
    timing: str

    @property
    def latency_ms(self) -> float:
        return 1e3 * (self.answered_s - self.due_s)

    @property
    def since_sent_ms(self) -> float:
        return 1e3 * (self.answered_s - self.sent_s)


@dataclass(frozen=True)
class Seen:
    """Outcomes of the clients' requests, and the CPU seconds of the clients."""

    outcomes: list[Outcome]
    elapsed_s: float
    client_cpu_s: float

    @property
    def answered(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == 200]

    @property
    def per_second(self) -> float:
        """Answers with status 200 per second."""
        return len(self.answered) / self.elapsed_s

    @property
    def failed(self) -> int:
        return len(self.outcomes) - len(self.answered)

    @property
    def late_ms(self) -> float:
        """Maximum delay of sending a request after it was due, caused by the generator."""
        return 1e3 * max(outcome.begun_s - outcome.due_s for outcome in self.outcomes)

    @property
    def stages_ms(self) -> dict[str, float]:
        """Mean milliseconds of each stage (`Server-Timing`)."""
        stages: dict[str, list[float]] = defaultdict(list)
        for outcome in self.answered:
            for name, ms in STAGE.findall(outcome.timing):
                stages[name].append(float(ms))
        return {name: sum(values) / len(values) for name, values in stages.items()}

    def latencies_ms(self) -> dict[str, float]:
        """Latency percentiles of answers with status 200, from when each request was due."""
        return percentiles([outcome.latency_ms for outcome in self.answered])


def percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "max": max(values)}


def saturate(port: int, requests: Sequence[bytes], n_requests: int, n_clients: int) -> Seen:
    """Send `n_requests` from `n_clients` concurrently, cycling through the requests."""
    turns = itertools.count()

    def client(outcomes: list[Outcome]) -> None:
        connection = Client(port)
        while (turn := next(turns)) < n_requests:
            request = requests[turn % len(requests)]
            outcomes.append(_ask(connection, request, time.perf_counter()))
        connection.close()

    return _run(client, n_clients)


def arrive(
    port: int, requests: Sequence[bytes], per_second: float, seconds: float, seed: int = 0
) -> Seen:
    """Send requests at seeded random times, at that rate for that duration."""
    random = np.random.default_rng(seed)
    gaps = random.exponential(1 / per_second, round(per_second * seconds))
    dues = (time.perf_counter() + 0.2 + np.cumsum(gaps)).tolist()
    turns = itertools.count()

    def client(outcomes: list[Outcome]) -> None:
        connection = Client(port)
        while (turn := next(turns)) < len(dues):
            time.sleep(max(0.0, dues[turn] - time.perf_counter()))
            outcomes.append(_ask(connection, requests[turn % len(requests)], dues[turn]))
        connection.close()

    return _run(client, N_THREADS)


def _ask(connection: Client, request: bytes, due_s: float) -> Outcome:
    begun_s = time.perf_counter()
    try:
        answer = connection.exchange(request)
    except OSError:
        now = time.perf_counter()
        return Outcome(due_s, begun_s, now, now, BROKEN, "", "")
    retry_after, timing = answer.header("retry-after"), answer.header("server-timing")
    return Outcome(
        due_s, begun_s, answer.sent_s, answer.answered_s, answer.status, retry_after, timing
    )


def _run(client: Callable[[list[Outcome]], None], n_clients: int) -> Seen:
    outcomes: list[Outcome] = []
    threads = [threading.Thread(target=client, args=(outcomes,)) for _ in range(n_clients)]
    started, cpu_s = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Seen(outcomes, time.perf_counter() - started, time.process_time() - cpu_s)
