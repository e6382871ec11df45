"""FLAC frame headers: whether several FLAC files were joined to one.

The header states the number of samples of its own file, and libFLAC stops there. Each frame states
its position in its own file: in a joined file these positions do not rise to the stated number.

Source: RFC 9639, sections 8.2 (streaminfo) and 9.1 (frame header).
"""

from __future__ import annotations

import mmap
import re
from itertools import islice
from pathlib import Path

from models.audio.containers.walk import MAX_PIECES

MAGIC = b"fLaC"
# The magic number, and the header of the streaminfo block: of type 0, of 34 bytes.
FILE_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
FRAME_SYNC = re.compile(rb"\xff[\xf8\xf9]", re.DOTALL)
STREAMINFO_AT, TOTAL_AT = 8, 21
TOTAL_MASK = (1 << 36) - 1
# Places at which positions are compared, and the bytes that are searched at each: a few frames.
N_PLACES, PLACE_BYTES = 8, 1 << 16
VARIABLE = 1


def joined_starts(data: mmap.mmap, begin: int = 0) -> list[int]:
    """The byte at which each file begins; only the first where no others seem to follow."""
    if data[begin : begin + len(MAGIC)] != MAGIC or not _is_joined(data, begin):
        return [begin]
    starts = (found.start() for found in FILE_START.finditer(data, begin))
    return list(islice(starts, MAX_PIECES + 1))


def last_frame_position(path: Path) -> int:
    """Samples before the last frame of a file, as its header states them; 0 without a frame."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _last_position(data, _block_size(data, 0)) or 0


def _block_size(data: mmap.mmap, begin: int) -> int:
    return int.from_bytes(data[begin + STREAMINFO_AT + 2 : begin + STREAMINFO_AT + 4])


def _is_joined(data: mmap.mmap, begin: int) -> bool:
    total = int.from_bytes(data[begin + TOTAL_AT : begin + TOTAL_AT + 5]) & TOTAL_MASK
    block_size = _block_size(data, begin)
    places = range(begin, len(data), max(1, (len(data) - begin) // N_PLACES))
    found = [_first_position(data, place, block_size) for place in places]
    positions = [position for position in found if position is not None]
    last = _last_position(data, block_size)
    if last is not None:
        positions.append(last)
    return positions != sorted(positions) or (last is not None and last + 2 * block_size < total)


def _first_position(data: mmap.mmap, begin: int, block_size: int) -> int | None:
    for found in FRAME_SYNC.finditer(data, begin, begin + PLACE_BYTES):
        position = _position_at(data, found.start(), block_size)
        if position is not None:
            return position
    return None


def _last_position(data: mmap.mmap, block_size: int) -> int | None:
    starts = [found.start() for found in FRAME_SYNC.finditer(data, max(0, len(data) - PLACE_BYTES))]
    positions = (_position_at(data, start, block_size) for start in reversed(starts))
    return next((position for position in positions if position is not None), None)


def _position_at(data: mmap.mmap, at: int, block_size: int) -> int | None:
    """Position in samples that the frame header at that byte states; None if its CRC is wrong."""
    header = data[at : at + 16]
    if len(header) < 16:
        return None
    number_bytes = max(1, 8 - (header[4] ^ 0xFF).bit_length())
    if number_bytes > 7:
        return None
    number = header[4] & (0xFF >> number_bytes) if number_bytes > 1 else header[4]
    for byte in header[5 : 4 + number_bytes]:
        number = number << 6 | byte & 0x3F
    # Optional fields: a block size of one or two bytes, a sample rate of one or two bytes.
    size_code, rate_code = header[2] >> 4, header[2] & 15
    length = 4 + number_bytes + {6: 1, 7: 2}.get(size_code, 0)
    length += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if length > 15 or _crc8(header[:length]) != header[length]:
        return None
    return number if header[1] & VARIABLE else number * block_size


def _crc8(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc
