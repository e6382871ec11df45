"""glibc malloc tuning: freed memory is kept for the next allocation of its size."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

# Parameters of `mallopt` (glibc's malloc.h).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
# A window of 30 s in a few formats; a larger block goes back to the system as soon as it is freed.
MAX_BLOCK_BYTES = 32 << 20
MAX_FREE_BYTES = 64 << 20


def keep_freed_memory(
    *, max_block_bytes: int | None = MAX_BLOCK_BYTES, max_free_bytes: int | None = MAX_FREE_BYTES
) -> None:
    """Keep freed memory in this process; without effect where the C library is not glibc.

    By default glibc returns all but some ten megabytes to the system after each window, and gets
    zeroed pages again one page fault at a time: half of the time that a WAV takes. In training
    these page faults are a quarter of a step on a CPU (63 ms a crop of 7.5 s at width 32, against
    47 without them).

    Parameters
    ----------
    max_block_bytes : largest block that is kept once freed; None keeps blocks of every size
    max_free_bytes : freed memory kept at the top of the heap; None keeps all of it
    """
    mallopt = _function_of_glibc("mallopt")
    if mallopt is None:
        return
    if max_block_bytes is None:
        mallopt(M_MMAP_MAX, 0)
    else:
        mallopt(M_MMAP_THRESHOLD, max_block_bytes)
    mallopt(M_TRIM_THRESHOLD, -1 if max_free_bytes is None else max_free_bytes)


def release_freed_memory() -> None:
    """Return freed memory to the system, after work that took far more than what follows it."""
    if malloc_trim := _function_of_glibc("malloc_trim"):
        malloc_trim(0)


def _function_of_glibc(name: str) -> Callable[..., Any] | None:
    """None where the C library is another one, such as musl."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
