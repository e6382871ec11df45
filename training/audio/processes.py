"""Process pool that outlives its workers: what ends a worker is one refused file, not the run.

A decoder in C can end its process. Then the files that were under way are decoded again, each in a
process by itself, and the one that ends it is refused.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
CHUNK = 8
# Of chunks that wait for each worker, so that none is idle.
AHEAD = 2


def map_in_processes(
    work: Callable[[Sequence[Job]], list[Result]],
    jobs: Sequence[Job],
    workers: int,
    on_crash: Callable[[Job], Result],
) -> Iterator[Result]:
    """Results of all jobs, as they complete.

    Parameters
    ----------
    work : of several jobs; can be pickled
    on_crash : result of a job that ended its process
    """
    chunks = iter([jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)])
    pool, under_way = _new_pool(workers), dict[Future[list[Result]], Sequence[Job]]()
    try:
        while True:
            is_broken = not _submit(pool, work, chunks, under_way, AHEAD * workers)
            if not under_way:
                return
            done = [] if is_broken else wait(under_way, return_when=FIRST_COMPLETED).done
            for future in done:
                if isinstance(future.exception(), BrokenProcessPool):
                    is_broken = True
                else:
                    del under_way[future]
                    yield from future.result()
            if is_broken:
                pool.shutdown(cancel_futures=True)
                for chunk in under_way.values():
                    yield from _run_apart(work, chunk, on_crash)
                pool, under_way = _new_pool(workers), {}
    finally:
        pool.shutdown(cancel_futures=True)


def _new_pool(workers: int) -> ProcessPoolExecutor:
    # Not forked: the parent may have threads, of Arrow for example.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))


def _submit(
    pool: ProcessPoolExecutor,
    work: Callable[[Sequence[Job]], list[Result]],
    chunks: Iterator[Sequence[Job]],
    under_way: dict[Future[list[Result]], Sequence[Job]],
    n_chunks: int,
) -> bool:
    """Submit chunks until so many are under way; whether the pool takes them."""
    while len(under_way) < n_chunks and (chunk := next(chunks, None)) is not None:
        try:
            under_way[pool.submit(work, chunk)] = chunk
        except BrokenProcessPool:
            under_way[Future()] = chunk
            return False
    return True


def _run_apart(
    work: Callable[[Sequence[Job]], list[Result]],
    jobs: Sequence[Job],
    on_crash: Callable[[Job], Result],
) -> Iterator[Result]:
    pool = _new_pool(1)
    try:
        for job in jobs:
            try:
                yield from pool.submit(work, [job]).result()
            except BrokenProcessPool:
                yield on_crash(job)
                pool.shutdown()
                pool = _new_pool(1)
    finally:
        pool.shutdown()
