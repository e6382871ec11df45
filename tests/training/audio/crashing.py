"""Work that ends its process, or fails, on cue; imports nothing, as each worker imports it."""

from __future__ import annotations

import os
from collections.abc import Sequence

BAD = {3, 17}


def square(jobs: Sequence[int]) -> list[int]:
    for job in jobs:
        if job in BAD:
            os._exit(139)  # as a crash in C ends a process: no exception, nothing is cleaned up
    return [job * job for job in jobs]


def fail(jobs: Sequence[int]) -> list[int]:
    raise ValueError(f"of {jobs[0]}")
