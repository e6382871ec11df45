"""Atomic file replacement: write to a temporary file, then rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Context manager: a temporary path, renamed to `path` if the block ends without an error.

    A run that is stopped thus leaves no partial file that a later run would take for complete, and
    several processes may write the same file concurrently: the last one wins. The temporary
    name ends in `.part`, which no glob for finished files matches.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
