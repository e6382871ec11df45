"""ADTS frames (raw AAC): where the sample rate changes, as in joined files.

FFmpeg computes all times by the first sample rate. Frames are walked through only where a few
places in the file have different rates.

Source: ISO/IEC 13818-7, section 6.2 (ADTS).
"""

from __future__ import annotations

import mmap
import re
from typing import NamedTuple

SYNC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]", re.DOTALL)
HEADER_BYTES = 7
N_PLACES, PLACE_BYTES = 8, 1 << 14
MAX_RESYNC_BYTES = 1 << 20


class Frame(NamedTuple):
    """Index of the sample rate of a frame, and its length in bytes."""

    rate: int
    length: int


def begins_adts(head: bytes) -> bool:
    """Whether a file's first bytes are those of an ADTS frame."""
    return SYNC.match(head) is not None


def joined_starts(data: mmap.mmap) -> list[int]:
    """The byte at which each piece of one sample rate begins."""
    places = range(0, len(data), max(1, len(data) // N_PLACES))
    found = (_next_frame(data, place, PLACE_BYTES) for place in places)
    rates = {frame.rate for _, frame in filter(None, found)}
    return [0] if len(rates) < 2 else _walk(data)


def _walk(data: mmap.mmap) -> list[int]:
    starts: list[int] = []
    position, rate = 0, -1
    while following := _next_frame(data, position, MAX_RESYNC_BYTES):
        at, frame = following
        if frame.rate != rate:
            starts.append(at)
            rate = frame.rate
        position = at + frame.length
        while (next_frame := _frame_at(data, position)) and next_frame.rate == rate:
            position += next_frame.length
    return starts


def _next_frame(data: mmap.mmap, begin: int, n_bytes: int) -> tuple[int, Frame] | None:
    """The first frame that another frame of its rate follows, and the byte at which it begins."""
    for found in SYNC.finditer(data, begin, begin + n_bytes):
        frame = _frame_at(data, found.start())
        following = frame and _frame_at(data, found.start() + frame.length)
        if frame and following and following.rate == frame.rate:
            return found.start(), frame
    return None


def _frame_at(data: mmap.mmap, position: int) -> Frame | None:
    header = data[position : position + HEADER_BYTES]
    if len(header) < HEADER_BYTES or not begins_adts(header):
        return None
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return Frame(header[2] >> 2 & 15, length) if length >= HEADER_BYTES else None
