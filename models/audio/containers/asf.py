"""ASF objects: where the files of a joined ASF (WMA) begin.

Source: Advanced Systems Format Specification 1.20.03, sections 2.1 and 10.1.
"""

from __future__ import annotations

import mmap
import re

from models.audio.containers.walk import find_files

HEADER_OBJECT = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
FILE_START = re.compile(re.escape(HEADER_OBJECT))
ID_BYTES, OBJECT_HEADER_BYTES = 16, 24
# A file has a header, the data and a few indexes.
MAX_OBJECTS = 10_000


def joined_starts(data: mmap.mmap, begin: int = 0) -> list[int]:
    """The byte at which each file begins, by its header object."""
    return find_files(data, begin, _end, FILE_START)


def _end(data: mmap.mmap, begin: int) -> int | None:
    """The byte after the last object; None where an object's size is not known."""
    position = begin
    for _ in range(MAX_OBJECTS):
        header = data[position : position + OBJECT_HEADER_BYTES]
        if len(header) < OBJECT_HEADER_BYTES:
            break
        if position > begin and header[:ID_BYTES] == HEADER_OBJECT:
            break
        size = int.from_bytes(header[ID_BYTES:], "little")
        if size < OBJECT_HEADER_BYTES:
            return position if position > begin else None
        position += size
    return position
