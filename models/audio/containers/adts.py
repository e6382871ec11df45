"""ADTS frames (raw AAC): where the sample rate changes, as in joined files.

FFmpeg computes all times by the first sample rate. Frames are walked through only where a few
places in the file have different rates.

Source: ISO/IEC 13818-7, section 6.2 (ADTS).
"""

from __future__ import annotations

import mmap
import re
from itertools import islice
from typing import NamedTuple

from models.audio.containers.walk import MAX_PIECES
from models.errors import CorruptAudio

SYNC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]", re.DOTALL)
SYNC_BITS, HEADER_BYTES = 0xFFF, 7
N_PLACES, PLACE_BYTES = 8, 1 << 14
MAX_RESYNC_BYTES, MAX_FALSE_STARTS = 1 << 20, 10_000
# Nine hours at 44.1 kHz: walking over them takes a second.
MAX_FRAMES = 1_500_000


class Frame(NamedTuple):
    """Index of the sample rate of a frame, and its length in bytes."""

    rate: int
    length: int


def begins_adts(head: bytes) -> bool:
    """Whether a file's first bytes are those of an ADTS frame."""
    return SYNC.match(head) is not None


def joined_starts(data: mmap.mmap, begin: int = 0) -> list[int]:
    """The byte at which each piece of one sample rate begins, `MAX_PIECES` + 1 at most.

    Raises
    ------
    CorruptAudio
        If the rate changes in more than `MAX_FRAMES` frames.
    """
    places = range(begin, len(data), max(1, (len(data) - begin) // N_PLACES))
    found = (_next_frame(data, place, PLACE_BYTES) for place in places)
    rates = {frame.rate for _, frame in filter(None, found)}
    return [begin] if len(rates) < 2 else _walk(data, begin)


def _walk(data: mmap.mmap, begin: int) -> list[int]:
    starts: list[int] = []
    position, rate, n_frames = begin, -1, 0
    while following := _next_frame(data, position, MAX_RESYNC_BYTES):
        at, frame = following
        if frame.rate != rate:
            starts.append(at)
            rate = frame.rate
        position, n_run = _skip_frames(data, at, rate, MAX_FRAMES - n_frames)
        n_frames += n_run
        if len(starts) > MAX_PIECES:
            break
        if n_frames >= MAX_FRAMES:
            raise CorruptAudio(
                f"the sample rate changes in audio of more than {MAX_FRAMES} ADTS frames",
                value=n_frames,
                limit=MAX_FRAMES,
                remedy="send it in several files",
            )
    return starts


def _skip_frames(data: mmap.mmap, position: int, rate: int, max_frames: int) -> tuple[int, int]:
    """The byte after the frames of a rate that begin at that byte, and their number."""
    for count in range(max_frames):
        frame = _frame_at(data, position)
        if frame is None or frame.rate != rate:
            return position, count
        position += frame.length
    return position, max_frames


def _next_frame(data: mmap.mmap, begin: int, n_bytes: int) -> tuple[int, Frame] | None:
    """The first frame that another frame of its rate follows, and the byte at which it begins."""
    for found in islice(SYNC.finditer(data, begin, begin + n_bytes), MAX_FALSE_STARTS):
        frame = _frame_at(data, found.start())
        following = frame and _frame_at(data, found.start() + frame.length)
        if frame and following and following.rate == frame.rate:
            return found.start(), frame
    return None


def _frame_at(data: mmap.mmap, position: int) -> Frame | None:
    content = data[position : position + HEADER_BYTES]
    if len(content) < HEADER_BYTES:
        return None
    header = int.from_bytes(content)
    if header >> 44 != SYNC_BITS or header >> 41 & 3:  # twelve bits, and the layer, which is zero
        return None
    length = header >> 13 & 0x1FFF
    return Frame(header >> 34 & 15, length) if length >= HEADER_BYTES else None
