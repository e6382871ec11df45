"""RIFF and IFF parser: the codec of a WAV file, where its data lies, and joined files.

libsndfile and FFmpeg read the data of most codecs. They find the length of a compressed codec by
the bytes per second that the header states, which hold for a constant bit rate only.

Source: Multimedia Programming Interface and Data Specifications 1.0 (IBM and Microsoft, 1991).
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from models.audio.containers.walk import find_files

MPEG_LAYER_3, EXTENSIBLE = 0x55, 0xFFFE
HEADER_BYTES, CHUNK_HEADER_BYTES = 12, 8
AUDIO_FORMS = {b"WAVE", b"AIFF", b"AIFC"}
WAV_START = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
AIFF_START = re.compile(rb"FORM.{4}AIF[FC]", re.DOTALL)
# The first two bytes of the subformat, which is the format tag; after 24 bytes of the chunk.
SUBFORMAT_AT = 24
MAX_CHUNKS = 1_000
# Encoders that write to a pipe do not know the size: they state 0 or the largest number.
STREAMED = 0x7FFF_0000


class WavData(NamedTuple):
    """Format tag of a WAV file, and the bytes of its data; `stated_end` may be beyond the file."""

    format_tag: int
    begin: int
    end: int
    stated_end: int


def find_wav_data(path: Path) -> WavData | None:
    """The data of a WAV file; None for other files, and without a format or data."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        if header[:4] != b"RIFF" or header[8:] != b"WAVE":
            return None
        return _find_data(file, os.fstat(file.fileno()).st_size)


def _find_data(file: BinaryIO, file_bytes: int) -> WavData | None:
    format_tag, position = -1, HEADER_BYTES
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        header = file.read(CHUNK_HEADER_BYTES)
        if len(header) < CHUNK_HEADER_BYTES:
            return None
        name, size = struct.unpack("<4sI", header)
        position += CHUNK_HEADER_BYTES
        if name == b"fmt ":
            format_tag = _format_tag(file.read(min(size, SUBFORMAT_AT + 2)))
        elif name == b"data":
            stated_end = position + size if 0 < size < STREAMED else file_bytes
            return WavData(format_tag, position, min(stated_end, file_bytes), stated_end)
        position += size + size % 2
    return None


def _format_tag(chunk: bytes) -> int:
    tag = int.from_bytes(chunk[:2], "little")
    if tag == EXTENSIBLE:
        return int.from_bytes(chunk[SUBFORMAT_AT : SUBFORMAT_AT + 2], "little")
    return tag


def joined_starts(data: mmap.mmap, begin: int = 0) -> list[int]:
    """The byte at which each WAV or AIFF file begins: a next one begins where the first one ends.

    One for a file that states no size, as encoders leave it that write to a pipe.
    """
    magic = data[begin : begin + 4]
    if not _is_audio(data, begin):
        return []
    return find_files(data, begin, _end, WAV_START if magic == b"RIFF" else AIFF_START)


def _end(data: mmap.mmap, begin: int) -> int | None:
    size_format = "<I" if data[begin : begin + 4] == b"RIFF" else ">I"
    (size,) = struct.unpack_from(size_format, data, begin + 4)
    return begin + CHUNK_HEADER_BYTES + size if 0 < size < STREAMED else None


def _is_audio(data: mmap.mmap, position: int) -> bool:
    return data[position + 8 : position + HEADER_BYTES] in AUDIO_FORMS
