"""CAF chunks: where the files of a joined CAF begin.

Source: Apple Core Audio Format Specification 1.0.
"""

from __future__ import annotations

import mmap
import re

from models.audio.containers.walk import find_files

MAGIC = b"caff"
FILE_START = re.compile(rb"caff\x00\x01\x00\x00desc", re.DOTALL)
FILE_HEADER_BYTES, CHUNK_HEADER_BYTES, SIZE_AT = 8, 12, 4
MAX_CHUNKS = 10_000


def joined_starts(data: mmap.mmap, begin: int = 0) -> list[int]:
    """The byte at which each file begins: a next one begins where a chunk ends."""
    return find_files(data, begin, _end, FILE_START)


def _end(data: mmap.mmap, begin: int) -> int | None:
    """The byte after the last chunk; None where the data reach up to the end of the file."""
    position = begin + FILE_HEADER_BYTES
    for _ in range(MAX_CHUNKS):
        header = data[position : position + CHUNK_HEADER_BYTES]
        is_chunk = header[:SIZE_AT].isascii() and header[:SIZE_AT] != MAGIC
        if len(header) < CHUNK_HEADER_BYTES or not is_chunk:
            break
        size = int.from_bytes(header[SIZE_AT:], signed=True)
        if size < 0:
            return None
        position += CHUNK_HEADER_BYTES + size
    return position
