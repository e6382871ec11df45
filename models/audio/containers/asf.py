"""ASF objects: where the files of a joined ASF (WMA) begin.

Source: Advanced Systems Format Specification 1.20.03, sections 2.1 and 10.1.
"""

from __future__ import annotations

import mmap

HEADER_OBJECT = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ID_BYTES, OBJECT_HEADER_BYTES = 16, 24
MAX_OBJECTS = 10_000


def joined_starts(data: mmap.mmap) -> list[int]:
    """The byte at which each file begins, by its header object."""
    starts: list[int] = []
    position = 0
    for _ in range(MAX_OBJECTS):
        header = data[position : position + OBJECT_HEADER_BYTES]
        size = int.from_bytes(header[ID_BYTES:], "little")
        if header[:ID_BYTES] == HEADER_OBJECT:
            starts.append(position)
        if len(header) < OBJECT_HEADER_BYTES or size < OBJECT_HEADER_BYTES:
            break
        position += size
    return starts
