"""Atomic file replacement: write to a temporary file, then rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Context manager: a temporary path, renamed to `path` if the block ends without an error.

    A run that is stopped thus leaves no partial file that a later run would take for complete, and
    several processes may write the same file concurrently: the last one wins. The temporary
    name ends in `.part`, which no glob for finished files matches.

    Parameters
    ----------
    durable : return only once the file is on the disk, so that a power cut does not undo it
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        if durable:
            sync(part)
        part.replace(path)
        if durable:
            sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Return once a file's content, or a folder's entries, are on the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
