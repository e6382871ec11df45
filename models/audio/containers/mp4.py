"""MP4 boxes: where the files of a joined MP4 begin.

FFmpeg reads the first `moov` box and skips the others.

Source: ISO/IEC 14496-12, section 4.2 (boxes).
"""

from __future__ import annotations

import mmap
import re

from models.audio.containers.walk import find_files

BEGINS_FILE = b"ftyp"
# A box of some bytes with its major brand.
FILE_START = re.compile(rb"\x00\x00[\x00-\x04].ftyp[ -~]{4}", re.DOTALL)
HEADER_BYTES, LARGE_HEADER_BYTES, LARGE = 8, 16, 1
# Fragments of a live recording are two boxes each. Files of more are searched through.
MAX_BOXES = 50_000


def joined_starts(data: mmap.mmap, begin: int = 0) -> list[int]:
    """The byte at which each file begins, by its first box."""
    return find_files(data, begin, _end, FILE_START)


def _end(data: mmap.mmap, begin: int) -> int:
    """The byte after the last box of a file."""
    position = begin
    for _ in range(MAX_BOXES):
        header = data[position : position + LARGE_HEADER_BYTES]
        kind = header[4:8]
        if len(header) < HEADER_BYTES or (position > begin and kind == BEGINS_FILE):
            break
        size = int.from_bytes(header[:4])
        if size == 0 and any(kind):  # up to the end of the file
            return len(data)
        if size == LARGE:
            size = int.from_bytes(header[8:])
        if size < HEADER_BYTES:
            break
        position += size
    return position
