"""Atomic file replacement: write to a temporary file, then rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder, renamed to `path` when the block ends without an error.

    So a run that is stopped leaves no half-written file that a later run would take for complete,
    and several processes may write the same file at the same time: the last one wins. The temporary
    name ends in `.part`, which no glob for finished files matches.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
