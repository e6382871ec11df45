"""Data chunk of WAV, RF64, W64, AIFF and CAF files: where it begins, and what follows it.

One rule for all of them: bytes after the stated data that are no chunk are more of the audio, as a
program has written it on without stating so.

Source: EBU Tech 3306 (RF64); Sony Pictures Digital (Wave 64); AIFF 1.3; Core Audio Format 1.0.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAX_CHUNKS = 1_000
STREAMED = 0x7FFF_0000
RF64_SIZE_AT = 8  # of the data, in the chunk ds64
WAVE_64_HEADER_BYTES, GUID_BYTES = 40, 16
# What other files begin with. A recording may begin so as well, but for these it is likely.
OTHER_FILES = (b"ID3", b"OggS", b"fLaC", b"RIFF", b"RF64", b"FORM", b"PK\x03\x04", b"caff", b".snd")


class Chunk(NamedTuple):
    """Name of a chunk, and the bytes of its content; `stated_end` may be beyond the file."""

    name: bytes
    begin: int
    stated_end: int


class Tail(NamedTuple):
    """Bytes from `begin` of the data on, of which those from `end` on are not stated."""

    begin: int
    end: int
    file_bytes: int
    is_audio: bool

    @property
    def unread_bytes(self) -> int:
        return self.file_bytes - self.end


def find_tail(path: Path) -> Tail | None:
    """What follows the data of a file, if it is no chunk; None if nothing does.

    Returns
    -------
    `is_audio` is false of padding by zeros, and of another file.
    """
    with path.open("rb") as file:
        data = _find_data(file)
        file_bytes = os.fstat(file.fileno()).st_size
        if data is None or data.stated_end >= file_bytes:
            return None
        file.seek(data.stated_end)
        following = file.read(9)
        is_other = following.startswith(OTHER_FILES)
        names = (following[padding : 4 + padding] for padding in (0, 1))
        if not is_other and any(map(_is_name, names)):
            return None
        blocks = iter(lambda: file.read(1 << 20), b"")
        is_audio = not is_other and any(block.strip(b"\0") for block in blocks)
        return Tail(data.begin, data.stated_end, file_bytes, is_audio)


def _is_name(name: bytes) -> bool:
    return len(name) < 4 or (name.isascii() and name.decode().isprintable())


def _find_data(file: BinaryIO) -> Chunk | None:
    head = file.read(WAVE_64_HEADER_BYTES)
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _walk(file, 12, _riff_chunk)
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return _walk(file, 12, _iff_chunk)
    if head[:4] == b"riff":
        return _walk(file, WAVE_64_HEADER_BYTES, _wave_64_chunk)
    return _walk(file, 8, _caf_chunk) if head[:4] == b"caff" else None


def _walk(
    file: BinaryIO, position: int, parse: Callable[[bytes, int], tuple[Chunk, int]]
) -> Chunk | None:
    """The chunk of the data, which has a size."""
    rf64_bytes, file_bytes = 0, os.fstat(file.fileno()).st_size
    for _ in range(MAX_CHUNKS):
        if position >= file_bytes:  # a header may state 2^64, which is no position
            return None
        file.seek(position)
        header = file.read(WAVE_64_HEADER_BYTES)
        if len(header) < 12:
            return None
        chunk, position = parse(header, position)
        if chunk.name == b"ds64":
            at = 8 + RF64_SIZE_AT
            rf64_bytes = int.from_bytes(header[at : at + 8], "little")
        if chunk.name in (b"data", b"SSND"):
            size = chunk.stated_end - chunk.begin
            if rf64_bytes and size == 0xFFFF_FFFF:
                return chunk._replace(stated_end=chunk.begin + rf64_bytes)
            is_known = 0 < size < STREAMED or (size >= 1 << 32 and chunk.name == b"data")
            return chunk if is_known else None
    return None


def _riff_chunk(header: bytes, position: int) -> tuple[Chunk, int]:
    size = int.from_bytes(header[4:8], "little")
    end = position + 8 + size
    return Chunk(header[:4], position + 8, end), end + size % 2


def _iff_chunk(header: bytes, position: int) -> tuple[Chunk, int]:
    size = int.from_bytes(header[4:8])
    end, before = position + 8 + size, 8 if header[:4] == b"SSND" else 0
    return Chunk(header[:4], position + 8 + before, end), end + size % 2


def _wave_64_chunk(header: bytes, position: int) -> tuple[Chunk, int]:
    size = int.from_bytes(header[GUID_BYTES : GUID_BYTES + 8], "little")
    end = position + max(size, GUID_BYTES + 8)
    return Chunk(header[:4], position + GUID_BYTES + 8, end), end + -end % 8


def _caf_chunk(header: bytes, position: int) -> tuple[Chunk, int]:
    size = int.from_bytes(header[4:12], signed=True)
    end = position + 12 + max(size, 0)
    before = 4 if header[:4] == b"data" else 0  # the number of edits
    return Chunk(header[:4], position + 12 + before, end if size >= 0 else position), end
