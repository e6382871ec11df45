"""What glibc does with memory that was freed."""

from __future__ import annotations

import ctypes

# The numbers of two parameters of `mallopt` (malloc.h).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# A window of 30 s in a few forms; what is larger is given back at once.
LARGEST_KEPT_BYTES = 32 << 20
MOST_KEPT_BYTES = 64 << 20


def keep_freed_memory() -> None:
    """Keep it for the next job, where this is glibc.

    Otherwise all but some ten megabytes go back to the system after each window, and come again
    page by page, zeroed: half of the time that a WAV takes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT_BYTES)
