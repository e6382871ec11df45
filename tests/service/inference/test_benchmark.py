"""The micro-benchmarks choose the faster of two runs, and only where it gains enough."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.inference.benchmark import MIN_GAIN, is_faster


class Clock:
    """Seconds that pass only when a run says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def run(self, *durations_s: float) -> Callable[[], None]:
        """A run that takes these durations in turn, and the last one from then on."""
        remaining = list(durations_s)

        def run() -> None:
            self.now_s += remaining.pop(0) if len(remaining) > 1 else remaining[0]

        return run


@pytest.mark.parametrize(
    ("gain", "expected"), [(0.5, False), (1.0, False), (1.09, False), (1.11, True), (3.0, True)]
)
def test_the_candidate_must_gain_a_tenth(gain: float, expected: bool) -> None:
    assert MIN_GAIN == 1.1
    clock = Clock()
    assert is_faster(clock.run(1.0), clock.run(gain), clock=clock) is expected


def test_a_smaller_gain_counts_where_it_is_enough() -> None:
    clock = Clock()
    assert is_faster(clock.run(1.0), clock.run(1.06), min_gain=1.05, clock=clock)


def test_a_run_that_other_work_delayed_does_not_decide() -> None:
    clock = Clock()
    assert is_faster(clock.run(5.0, 1.0), clock.run(2.0), clock=clock)
    assert is_faster(clock.run(2.0, 1.9, 1.0), clock.run(2.0), clock=clock)
    assert not is_faster(clock.run(1.0), clock.run(9.0, 1.0), clock=clock)
