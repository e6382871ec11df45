"""Runs in parallel processes, each on its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import torch

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def map_in_processes(
    run: Callable[[Job], Outcome], jobs: Sequence[Job], workers: int
) -> Iterator[Outcome]:
    """Each job's outcome as it ends; with one worker in this process, in order.

    Parameters
    ----------
    run : pickled, as the jobs are
    """
    if workers == 1:
        yield from map(run, jobs)
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    # Not forked: the child of a process that has used CUDA or threads can hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=spawn, initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        started = [pool.submit(run, job) for job in jobs]
        try:
            for job in as_completed(started):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)
