"""Whether an Ogg file is whole, from its last page.

FFmpeg and libsndfile take what is left of a cut file for all of it: the length of Ogg is nowhere
but in its last page.

Source: RFC 3533, section 6 (the page header).
"""

from __future__ import annotations

import os
from pathlib import Path

CAPTURE = b"OggS\0"
HEADER_BYTES = 27  # the last of them counts the segments, whose lengths follow
# Header, 255 lengths, 255 segments of 255 bytes.
MAX_PAGE_BYTES = HEADER_BYTES + 255 + 255 * 255


def missing_bytes(path: Path) -> int:
    """How many bytes the file lacks of its last page; 0 where that is whole.

    A file that is cut between two pages passes: recordings of a stream end like that.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MAX_PAGE_BYTES))
        tail = file.read(MAX_PAGE_BYTES)
    start = tail.rfind(CAPTURE)
    if start < 0:
        return 0  # something else follows the last page: nothing tells
    page = tail[start:]
    if len(page) < HEADER_BYTES:
        return HEADER_BYTES - len(page)
    n_segments = page[HEADER_BYTES - 1]
    lengths = page[HEADER_BYTES : HEADER_BYTES + n_segments]
    if len(lengths) < n_segments:
        return n_segments - len(lengths)
    return max(0, HEADER_BYTES + n_segments + sum(lengths) - len(page))
