"""Ogg pages: the links of a chained file, and a truncation check by the last page.

FFmpeg and libsndfile do not notice truncation, since Ogg states its length only in the last page.
In a chained file that is the last page of the last link, and FFmpeg takes its position for the
length of the file.

Source: RFC 3533, section 6 (the page header).
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from models.audio.containers.walk import MAX_PIECES

CAPTURE = b"OggS\0"
PAGE = b"OggS"
FLAGS_AT, BEGINS_STREAM = 5, 0x02
HEADER_BYTES = 27  # the last byte is the number of segments, whose lengths follow
MAX_HEADER_BYTES = HEADER_BYTES + 255
# Header, 255 segment lengths, 255 segments of 255 bytes.
MAX_PAGE_BYTES = HEADER_BYTES + 255 + 255 * 255


def missing_bytes(path: Path) -> int:
    """Number of bytes that the last page lacks; 0 if it is complete.

    A file that is cut between two pages passes, since recordings of a stream end like that.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MAX_PAGE_BYTES))
        tail = file.read(MAX_PAGE_BYTES)
    start = tail.rfind(CAPTURE)
    if start < 0:
        return 0  # other data follows the last page: nothing to check
    page = tail[start:]
    if len(page) < HEADER_BYTES:
        return HEADER_BYTES - len(page)
    n_segments = page[HEADER_BYTES - 1]
    lengths = page[HEADER_BYTES : HEADER_BYTES + n_segments]
    if len(lengths) < n_segments:
        return n_segments - len(lengths)
    return max(0, HEADER_BYTES + n_segments + sum(lengths) - len(page))


def link_starts(data: mmap.mmap, begin: int = 0) -> list[int]:
    """The byte at which each link begins: one for a file that is not chained.

    A link begins with the first pages of its streams, one after another. The last page of a link
    may be cut: where no page follows its stated end, the next one is searched for inside it.
    """
    starts: list[int] = []
    position, in_heads = begin, 0
    while position >= 0 and len(starts) <= MAX_PIECES:
        header = data[position : position + MAX_HEADER_BYTES]
        if header[:4] != PAGE or len(header) < HEADER_BYTES:  # bytes between the pages, or the end
            position = data.find(PAGE, position + 1)
            continue
        begins_stream = header[FLAGS_AT] & BEGINS_STREAM
        if begins_stream and not in_heads:
            starts.append(position)
        in_heads = begins_stream
        lengths_end = HEADER_BYTES + header[HEADER_BYTES - 1]
        end = position + lengths_end + sum(header[HEADER_BYTES:lengths_end])
        is_followed = end == len(data) or data[end : end + len(PAGE)] == PAGE
        position = end if is_followed else data.find(PAGE, position + len(PAGE))
    return starts
