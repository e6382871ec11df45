"""Walk over the files of a joined file: a next one begins where the one before ends, or is found.

Where a header's length does not lead to the end of the file or to a next header, the file is cut,
or other bytes lie between: then the next header is searched for by its first bytes.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable
from itertools import islice

# A day of internet radio has a few hundred songs. Opening a piece takes a millisecond.
MAX_PIECES = 1_000
# Headers that do not lead on; a file of more is searched for headers alone.
MAX_DOUBTS = 16
# Chunks of an odd length are padded to an even one.
PADDING_BYTES = 1


def find_files(
    data: mmap.mmap,
    begin: int,
    end_of: Callable[[mmap.mmap, int], int | None],
    signature: re.Pattern[bytes],
) -> list[int]:
    """The byte at which each file begins, `MAX_PIECES` + 1 at most.

    Parameters
    ----------
    begin : where the first one does
    end_of : the byte at which the file ends that begins at a byte; None where it does not say
    signature : the first bytes of a file
    """
    starts, n_doubts = [begin], 0
    while len(starts) <= MAX_PIECES:
        end = end_of(data, starts[-1])
        if end is None or 0 <= len(data) - end <= PADDING_BYTES:
            break
        following = None
        # A header may state any end: one before its beginning, or 2^64, which is no position.
        if starts[-1] < end < len(data):
            following = signature.match(data, end) or signature.match(data, end + PADDING_BYTES)
        n_doubts += following is None
        if n_doubts > MAX_DOUBTS:
            others = signature.finditer(data, starts[-1] + 1)
            starts += (found.start() for found in islice(others, MAX_PIECES))
            break
        found = following or signature.search(data, starts[-1] + 1)
        if found is None:
            break
        starts.append(found.start())
    return starts
