"""Thread split: intra-op threads per run × concurrent runs, chosen by measurement at startup.

One run on every core has the lowest latency for a single request. Several concurrent runs with
fewer threads each have the higher throughput, since no thread waits for another at the end of a
layer; unless the runs evict each other's data from the CPU caches, which depends on the machine and
the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.inference.benchmark import MIN_GAIN, runs_per_second


@dataclass(frozen=True)
class ThreadSplit:
    """`n_workers` concurrent runs with `intra_op_threads` threads each."""

    intra_op_threads: int
    n_workers: int


def list_splits(cores: int) -> list[ThreadSplit]:
    """From one run per core, over two runs on half of the cores each, to one run on all cores."""
    halved = [2**power for power in range(cores.bit_length()) if cores % 2**power == 0]
    counts = sorted({cores, *halved}, reverse=True)
    return [ThreadSplit(cores // n_workers, n_workers) for n_workers in counts]


def find_best_split(cores: int, open_run: Callable[[int], Callable[[], object]]) -> ThreadSplit:
    """Find the split with the highest throughput; among nearly equal splits, that of most workers.

    A split of fewer workers must gain `MIN_GAIN`: beside decoders, whose load a measurement at
    startup lacks, each end of a layer waits for a thread that has no core. A single request has a
    session on every core anyway (`Model.solo_session`).

    Parameters
    ----------
    open_run : number of intra-op threads -> a run that several threads may call concurrently
    """
    best, max_per_second = ThreadSplit(1, cores), 0.0
    for split in list_splits(cores):
        per_second = runs_per_second(open_run(split.intra_op_threads), split.n_workers)
        if per_second > max_per_second * MIN_GAIN:
            best, max_per_second = split, per_second
    return best
