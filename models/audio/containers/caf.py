"""CAF chunks: where the files of a joined CAF begin.

Source: Apple Core Audio Format Specification 1.0.
"""

from __future__ import annotations

import mmap

MAGIC = b"caff"
FILE_HEADER_BYTES, CHUNK_HEADER_BYTES, SIZE_AT = 8, 12, 4
MAX_CHUNKS = 10_000


def joined_starts(data: mmap.mmap) -> list[int]:
    """The byte at which each file begins: a next one begins where a chunk ends."""
    starts: list[int] = []
    position = 0
    for _ in range(MAX_CHUNKS):
        if data[position : position + len(MAGIC)] == MAGIC:
            starts.append(position)
            position += FILE_HEADER_BYTES
        header = data[position : position + CHUNK_HEADER_BYTES]
        size = int.from_bytes(header[SIZE_AT:], signed=True)
        if len(header) < CHUNK_HEADER_BYTES or size < 0:  # -1: up to the end of the file
            break
        position += CHUNK_HEADER_BYTES + size
    return starts
