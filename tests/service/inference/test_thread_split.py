"""How runs share the cores."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from service.inference.thread_split import Split, best_split, splits

RUN_S = 0.004


def test_splits_go_from_a_lane_a_core_to_all_cores_in_one() -> None:
    assert splits(6) == [Split(1, 6), Split(3, 2), Split(6, 1)]
    assert splits(4) == [Split(1, 4), Split(2, 2), Split(4, 1)]
    assert splits(1) == [Split(1, 1)]


def test_of_equal_splits_that_of_most_lanes_is_taken() -> None:
    def open_run(threads: int) -> Callable[[], object]:
        return lambda: time.sleep(RUN_S / threads)

    assert best_split(4, open_run) == Split(1, 4)


def test_where_runs_are_in_each_others_way_it_is_one_at_a_time() -> None:
    memory = threading.Lock()

    def open_run(threads: int) -> Callable[[], object]:
        def run() -> None:
            with memory:
                time.sleep(RUN_S / threads)

        return run

    assert best_split(4, open_run) == Split(4, 1)
