"""Work that ends its process, or fails, on cue; imports nothing, as each worker imports it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

BAD = {3, 17}


def square(jobs: Sequence[int]) -> list[int]:
    for job in jobs:
        if job in BAD:
            os._exit(139)  # as a crash in C ends a process: no exception, nothing is cleaned up
    return [job * job for job in jobs]


def fail(jobs: Sequence[int]) -> list[int]:
    raise ValueError(f"of {jobs[0]}")


def decode_jobs(out: Any, audio: Any, jobs: Sequence[Any]) -> list[dict[str, Any]]:
    """As `training.audio.decoding.decode_jobs`; a job of the path `crash` ends the process."""
    if any(job.path == "crash" for job in jobs):
        os._exit(139)
    return [{"track_id": job.track_id, "row": job.row, "reason": "heard"} for job in jobs]
