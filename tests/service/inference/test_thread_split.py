"""Thread split: concurrent runs share the cores as measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from service.inference.thread_split import ThreadSplit, find_best_split, list_splits

RUN_S = 0.004


def test_splits_go_from_a_worker_a_core_to_one_worker_on_all_cores() -> None:
    assert list_splits(6) == [ThreadSplit(1, 6), ThreadSplit(3, 2), ThreadSplit(6, 1)]
    assert list_splits(4) == [ThreadSplit(1, 4), ThreadSplit(2, 2), ThreadSplit(4, 1)]
    assert list_splits(1) == [ThreadSplit(1, 1)]


def test_of_equal_splits_the_one_of_most_workers_is_chosen() -> None:
    def open_run(threads: int) -> Callable[[], object]:
        return lambda: time.sleep(RUN_S / threads)

    assert find_best_split(4, open_run) == ThreadSplit(1, 4)


def test_where_concurrent_runs_block_each_other_one_worker_is_chosen() -> None:
    memory = threading.Lock()

    def open_run(threads: int) -> Callable[[], object]:
        def run() -> None:
            with memory:
                time.sleep(RUN_S / threads)

        return run

    assert find_best_split(4, open_run) == ThreadSplit(4, 1)
