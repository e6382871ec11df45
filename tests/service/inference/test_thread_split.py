"""Thread split: concurrent runs share the cores as measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from service.inference.thread_split import ThreadSplit, find_best_split, list_splits

RUN_S = 0.004


def test_splits_go_from_a_worker_a_core_to_one_worker_on_all_cores() -> None:
    assert list_splits(6) == [ThreadSplit(1, 6), ThreadSplit(3, 2), ThreadSplit(6, 1)]
    assert list_splits(4) == [ThreadSplit(1, 4), ThreadSplit(2, 2), ThreadSplit(4, 1)]
    assert list_splits(1) == [ThreadSplit(1, 1)]


class Clock(threading.local):
    """A clock of each thread's own, which goes on by what a run is to take."""

    now_s = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now_s)
    return clock


def test_of_equal_splits_the_one_of_most_workers_is_chosen(clock: Clock) -> None:
    def open_run(threads: int) -> Callable[[], object]:
        def run() -> None:
            clock.now_s += RUN_S / threads

        return run

    assert find_best_split(4, open_run) == ThreadSplit(1, 4)


def test_where_concurrent_runs_block_each_other_one_worker_is_chosen(clock: Clock) -> None:
    def open_run(threads: int) -> Callable[[], object]:
        def run() -> None:
            workers = 4 // threads
            clock.now_s += workers * RUN_S / threads  # each waits for all the others

        return run

    assert find_best_split(4, open_run) == ThreadSplit(4, 1)
