"""Micro-benchmarks at the loading of a model: is one way to run it faster than another here?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

# Minimum speed-up: above the noise of a measurement, so that another start on the same machine
# makes the same choice.
MIN_GAIN = 1.1
# Alternating runs of both candidates; the shortest counts. More than two if the ratio is neither a
# clear loss nor a gain, since other work on the machine blurs the difference.
MIN_RUNS, MAX_RUNS, CLEAR_LOSS = 2, 5, 0.75
# Long enough to detect a difference of a few per cent, short enough for startup.
MEASURED_S = 0.09


def is_faster(
    candidate: Callable[[], object],
    baseline: Callable[[], object],
    *,
    min_gain: float = MIN_GAIN,
    clock: Callable[[], float] = time.perf_counter,
) -> bool:
    """Whether the baseline takes at least `min_gain` times as long as the candidate.

    Parameters
    ----------
    clock : returns seconds; `time.thread_time` measures CPU time, if the runs compute in the
        calling thread alone
    """
    baseline_s = candidate_s = math.inf
    gain = 0.0
    for turn in range(1, MAX_RUNS + 1):
        baseline_s = min(baseline_s, _duration_s(baseline, clock))
        candidate_s = min(candidate_s, _duration_s(candidate, clock))
        gain = baseline_s / candidate_s
        if turn >= MIN_RUNS and not CLEAR_LOSS <= gain < min_gain:
            break
    return gain >= min_gain


def _duration_s(run: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    run()
    return max(clock() - started, 1e-9)  # below the clock's resolution a run takes 0 s


def runs_per_second(run: Callable[[], object], n_threads: int) -> float:
    """Throughput of `run` called from several threads concurrently, each warmed up by one run."""

    def measure() -> tuple[int, float]:
        run()
        started, count = time.perf_counter(), 0
        while (elapsed_s := time.perf_counter() - started) < MEASURED_S:
            run()
            count += 1
        return count, elapsed_s

    with ThreadPoolExecutor(n_threads) as threads:
        futures = [threads.submit(measure) for _ in range(n_threads)]
        measured = [future.result() for future in futures]
    return sum(count / elapsed_s for count, elapsed_s in measured)
