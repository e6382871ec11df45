"""MP4 boxes: where the files of a joined MP4 begin.

FFmpeg reads the first `moov` box and skips the others.

Source: ISO/IEC 14496-12, section 4.2 (boxes).
"""

from __future__ import annotations

import mmap

BEGINS_FILE = b"ftyp"
HEADER_BYTES, LARGE_HEADER_BYTES, LARGE = 8, 16, 1
# Fragments of a live recording are two boxes each.
MAX_BOXES = 10_000


def joined_starts(data: mmap.mmap) -> list[int]:
    """The byte at which each file begins, by its first box."""
    starts: list[int] = []
    position = 0
    for _ in range(MAX_BOXES):
        header = data[position : position + LARGE_HEADER_BYTES]
        if len(header) < HEADER_BYTES:
            break
        if header[4:8] == BEGINS_FILE:
            starts.append(position)
        size = int.from_bytes(header[:4])
        if size == LARGE:
            size = int.from_bytes(header[8:])
        if size < HEADER_BYTES:  # 0: up to the end of the file
            break
        position += size
    return starts
