"""How a model's runs share the cores, found by measurement at the start.

One run on every core is quickest for a request that is alone. Several runs beside each other, with
fewer threads each, answer more requests a second, as no thread waits for another's end of a layer;
unless they are in each other's way in the caches, which depends on the machine and the graph.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

# Of each split: long enough to see a difference of a few per cent, short enough for a start.
MEASURED_S = 0.09
# What fewer runs of more threads must gain: beside decoders, whose work a measurement at the start
# lacks, each end of a layer waits for a thread that has no core. A lone request has a session of
# its own on every core.
LEAST_GAIN = 1.1


@dataclass(frozen=True)
class Split:
    """`lanes` runs at a time, of `threads` threads each."""

    threads: int
    lanes: int


def splits(cores: int) -> list[Split]:
    """One run on each core, … two on half of them each, one on all."""
    halved = [2**power for power in range(cores.bit_length()) if cores % 2**power == 0]
    return [Split(cores // lanes, lanes) for lanes in sorted({cores, *halved}, reverse=True)]


def best_split(cores: int, open_run: Callable[[int], Callable[[], object]]) -> Split:
    """The split that runs most often a second; of nearly equal ones, that of most lanes.

    Parameters
    ----------
    open_run : a run by so many threads, ready to be called from several threads at a time
    """
    best, most = Split(1, cores), 0.0
    for split in splits(cores):
        per_second = _rate(open_run(split.threads), split.lanes)
        if per_second > most * LEAST_GAIN:
            best, most = split, per_second
    return best


def _rate(run: Callable[[], object], lanes: int) -> float:
    """Runs a second by `lanes` threads, each warmed up by a run of its own."""

    def lane() -> tuple[int, float]:
        run()
        started, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < MEASURED_S:
            run()
            count += 1
        return count, elapsed

    with ThreadPoolExecutor(lanes) as threads:
        counted = [future.result() for future in [threads.submit(lane) for _ in range(lanes)]]
    return sum(count / elapsed for count, elapsed in counted)
