"""Audio files as they are sent: name, bytes and SHA-256."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

Source = str | os.PathLike[str] | bytes | BinaryIO


@dataclass(frozen=True)
class AudioFile:
    """A file in memory."""

    name: str
    content: bytes

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def read_file(source: Source) -> AudioFile:
    """Read a path, bytes, or an open binary file.

    Raises
    ------
    OSError
    TypeError
        Of a file that was opened as text.
    """
    if isinstance(source, bytes):
        return AudioFile("audio", source)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return AudioFile(path.name, path.read_bytes())
    content = source.read()
    if not isinstance(content, bytes):
        raise TypeError(f"{source!r} is open as text; open it as bytes: open(path, 'rb')")
    return AudioFile(Path(str(getattr(source, "name", "audio"))).name, content)
