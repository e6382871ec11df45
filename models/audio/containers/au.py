"""AU files (Sun, NeXT): where the audio ends by the header, and joined files.

Source: Sun's audio file format: magic, offset of the data, its size, encoding, rate, channels.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from pathlib import Path

from models.audio.containers.walk import find_files

MAGIC, LITTLE_ENDIAN = b".snd", b"dns."
HEADER_BYTES = 12
# The offset of the data, their size, and an encoding of the first few dozen.
FILE_START = re.compile(
    rb"\.snd\x00\x00.{2}.{4}\x00{3}[\x01-\x1f]|dns\..{2}\x00\x00.{4}[\x01-\x1f]\x00{3}", re.DOTALL
)
# Programs that write to a pipe do not know the size.
UNKNOWN_SIZE = 0xFFFF_FFFF


def is_understated(path: Path) -> bool:
    """Whether the file has more bytes than its header states; of an unknown size it has not."""
    with path.open("rb") as file:
        end = _stated_end(file.read(HEADER_BYTES))
        return end is not None and end < os.fstat(file.fileno()).st_size


def joined_starts(data: mmap.mmap, begin: int = 0) -> list[int]:
    """The byte at which each AU file begins: a next one begins where the first one ends."""
    return find_files(data, begin, _end, FILE_START)


def _end(data: mmap.mmap, begin: int) -> int | None:
    size = _stated_end(data[begin : begin + HEADER_BYTES])
    return None if size is None else begin + size


def _stated_end(header: bytes) -> int | None:
    """Bytes from the magic to the end of the audio; None where the header does not say."""
    if len(header) < HEADER_BYTES or header[:4] not in (MAGIC, LITTLE_ENDIAN):
        return None
    offset, size = struct.unpack(">II" if header[:4] == MAGIC else "<II", header[4:])
    return None if size == UNKNOWN_SIZE else int(offset + size)
