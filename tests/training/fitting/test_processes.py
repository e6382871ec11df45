"""Jobs in parallel processes: every outcome, and the error of a job."""

from __future__ import annotations

from math import sqrt

import pytest

from training.fitting.processes import map_in_processes


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_has_its_outcome(workers: int) -> None:
    assert sorted(map_in_processes(sqrt, [9.0, 1.0, 4.0], workers)) == [1, 2, 3]


def test_with_one_worker_the_order_is_that_of_the_jobs() -> None:
    assert list(map_in_processes(sqrt, [9.0, 1.0, 4.0], 1)) == [3, 1, 2]


def test_the_error_of_a_job_is_raised() -> None:
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(map_in_processes(sqrt, [1.0, -1.0], 2))
