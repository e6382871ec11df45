"""MP3 frame index: byte position of every frame, and so the length of the file.

Only some MP3 files state their length, and the header of files that were joined states the length
of the first one. For files without a header libsndfile estimates the length from the file size,
including tags; to seek, it steps through every previous frame. Here a regular expression that
matches runs of frames does both, in half a millisecond per minute of audio.
"""

from __future__ import annotations

import mmap
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from models.audio.containers.id3 import tag_bytes, tags_end
from models.audio.mp3.frames import (
    HEADER_BYTES,
    LAYER_3,
    FrameFormat,
    InfoHeader,
    parse_format,
    parse_info_header,
)
from models.errors import CorruptAudio

# Eleven bits of sync, any version, layer III; a valid bit rate and sample rate.
FRAME_START = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb].", re.DOTALL)
# Damage is skipped, but a file that is not MP3 is not searched to its end. After frames the search
# goes on; what is found further away is a piece of its own, and so not decoded across the gap.
MAX_RESYNC_BYTES, MAX_FALSE_STARTS = 1 << 20, 20_000
# Padding of tools that write whole sectors.
MAX_UNREAD_BYTES = 1 << 16
# Tags that may follow the last frame of a file, and so lie in the middle of joined files. An APE
# tag and an ID3v2 tag state their length; the end of Lyrics3 is searched for.
ID3V1_BYTES, ENHANCED_BYTES, APE_HEADER_BYTES = 128, 227, 32
APE_IS_HEADER = 1 << 29
LYRICS_END = re.compile(rb"LYRICS(?:END|200)")
MAX_LYRICS_BYTES = 1 << 20
# A frame's length is at most 2881 bytes; frames of another format count from this many in a row
# on: two headers in a row also occur by chance in damaged files.
MIN_FRAMES_OF_OTHER_FORMAT = 8
# Files of different formats that were joined to one. A higher number is a damaged or hostile file.
MAX_PIECES = 64
# A header may count a frame less or more than there are: some encoders count the header's frame.
MAX_UNCOUNTED_FRAMES = 2
# Lengths of the runs that one match covers: long runs first, the rest in shorter ones.
RUN_LENGTHS = (256, 16, 1)


class FrameRun(NamedTuple):
    """Consecutive frames: the number of the first one, and the byte at which it begins."""

    first: int
    position: int


@dataclass(frozen=True)
class Mp3Index:
    """The frames of a file, or of a piece of it, by their headers; all frames have one format.

    Attributes
    ----------
    format : of all frames; None for a file without frames
    n_mp3_frames : number of complete MP3 frames of audio
    info : the Xing or Info header; None without one
    missing_bytes : that the last frame lacks, where it is truncated
    end : the byte after the last complete frame
    next_piece : the byte at which frames of another format begin, or any after a gap; None without
    unread_bytes : after the last frame and its tags, where no more frames were found
    """

    format: FrameFormat | None
    runs: tuple[FrameRun, ...] = ()
    n_mp3_frames: int = 0
    info: InfoHeader | None = None
    missing_bytes: int = 0
    end: int = 0
    next_piece: int | None = None
    unread_bytes: int = 0

    @property
    def frame_samples(self) -> int:
        return self.format.frame_samples if self.format else 0

    @property
    def n_samples(self) -> int:
        """Samples per channel in all complete frames."""
        return self.n_mp3_frames * self.frame_samples

    @property
    def stated_samples(self) -> int | None:
        """Samples per channel as the info header states them; None without one, or for 0 frames.

        Encoders that write to a pipe leave 0.
        """
        n_frames = self.info.n_frames if self.info else 0
        return n_frames * self.frame_samples or None

    @property
    def outlasts_header(self) -> bool:
        """Whether there are more frames than the info header states."""
        if self.info is None:
            return False
        if self.info.n_frames == 0:
            return True
        return self.n_mp3_frames > self.info.n_frames + MAX_UNCOUNTED_FRAMES

    @property
    def audio_samples(self) -> int:
        """Samples per channel, without the encoder's padding if the info header states it."""
        if self.info is None:
            return self.n_samples
        if self.outlasts_header:  # the padding is of a part of the file
            return self.n_samples - self.info.skip
        return self.info.audio_samples(self.frame_samples)

    def position(self, data: mmap.mmap, number: int) -> int:
        """Byte at which a frame begins; for a number after the last frame, the byte at its end."""
        if number >= self.n_mp3_frames or self.format is None:
            return self.end
        run = self.runs[bisect_right(self.runs, (number, len(data))) - 1]
        remaining, position = number - run.first, run.position
        patterns = _run_patterns(self.format)
        for length in RUN_LENGTHS:
            while remaining >= length and (found := patterns[length].match(data, position)):
                remaining, position = remaining - length, found.end()
        return position


def index_file(path: Path) -> Mp3Index:
    """The index of a layer III file, up to a change of the format."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return index_frames(data, tags_end(path), len(data))


def index_pieces(data: mmap.mmap, begin: int, end: int) -> list[Mp3Index]:
    """The index of each piece: it ends where sample rate or channels change, or before a gap.

    Raises
    ------
    CorruptAudio
        If there are more than `MAX_PIECES`.
    """
    pieces = [index_frames(data, begin, end)]
    while (next_piece := pieces[-1].next_piece) is not None:
        if len(pieces) == MAX_PIECES:
            raise CorruptAudio(
                f"the mp3 audio changes its format, or has gaps, more than {MAX_PIECES - 1} times",
                limit=MAX_PIECES - 1,
            )
        pieces.append(index_frames(data, next_piece, end))
    return pieces


def index_frames(data: mmap.mmap, begin: int, end: int) -> Mp3Index:
    """The index of the frames in bytes [begin, end), where no tag begins, up to another format."""
    position = _next_frame(data, begin, end)
    frame_format = parse_format(data[position : min(position + HEADER_BYTES, end)])
    if frame_format is None:
        return Mp3Index(None, end=position)
    found = _run_patterns(frame_format)[1].match(data, position, end)
    info = parse_info_header(found[0]) if found else None
    if found and info:
        position = found.end()  # this frame holds no audio
    return _index_audio(data, frame_format, info, position, end)


def _index_audio(
    data: mmap.mmap, frame_format: FrameFormat, info: InfoHeader | None, position: int, limit: int
) -> Mp3Index:
    count, missing_bytes, next_piece, unread_bytes = 0, 0, None, 0
    runs: list[FrameRun] = []
    end = position
    patterns = _run_patterns(frame_format)
    while True:
        for length in RUN_LENGTHS:
            while found := patterns[length].match(data, position, limit):
                runs.append(FrameRun(count, position))
                count, position = count + length, found.end()
        end = position
        header = data[position : min(position + HEADER_BYTES, limit)]
        if parse_format(header) == frame_format:
            missing_bytes = position + frame_format.frame_bytes(header[2]) - limit
            break
        after_tags = _skip_tags(data, position, limit)
        position = _next_frame(data, after_tags, limit, frame_format)
        next_format = parse_format(data[position : min(position + HEADER_BYTES, limit)])
        if next_format is None:
            unread_bytes = limit - after_tags
        if next_format != frame_format or position - after_tags > MAX_RESYNC_BYTES:
            next_piece = position if next_format else None
            break
    return Mp3Index(
        frame_format, tuple(runs), count, info, missing_bytes, end, next_piece, unread_bytes
    )


@cache
def _run_patterns(frame_format: FrameFormat) -> dict[int, re.Pattern[bytes]]:
    """By length of run: a pattern of so many consecutive complete frames, of any bit rate."""
    third_bytes: dict[int, list[int]] = {}
    for third in range(0x10, 0xF0):
        if third >> 2 & 3 == frame_format.rate:
            third_bytes.setdefault(frame_format.frame_bytes(third), []).append(third)
    mode = rb"[\xc0-\xff]" if frame_format.is_mono else rb"[\x00-\xbf]"
    bodies = b"|".join(
        b"[%b]%b.{%d}" % (b"".join(rb"\x%02x" % third for third in thirds), mode, frame_bytes - 4)
        for frame_bytes, thirds in third_bytes.items()
    )
    second = LAYER_3 | frame_format.version << 3
    frame = rb"\xff[\x%02x\x%02x](?:%b)" % (second, second | 1, bodies)
    return {
        length: re.compile(b"(?:%b){%d}+" % (frame, length), re.DOTALL) for length in RUN_LENGTHS
    }


def _next_frame(data: mmap.mmap, begin: int, end: int, current: FrameFormat | None = None) -> int:
    """The next byte at which two consecutive frames begin; the end without one.

    Of another format than the current one, or far away, `MIN_FRAMES_OF_OTHER_FORMAT` consecutive
    frames.
    """
    near = min(begin + MAX_RESYNC_BYTES, end)
    candidates = FRAME_START.finditer(data, begin, near if current is None else end)
    for n_before, found in enumerate(candidates):
        if found.start() >= near and n_before >= MAX_FALSE_STARTS:
            break
        frame_format = parse_format(found[0])
        if frame_format is None:
            continue
        is_other = current is not None and (frame_format != current or found.start() >= near)
        n_frames = MIN_FRAMES_OF_OTHER_FORMAT if is_other else 2
        if _begins_frames(data, found.start(), end, frame_format, n_frames):
            return found.start()
    return end


def _begins_frames(
    data: mmap.mmap, position: int, end: int, frame_format: FrameFormat, count: int
) -> bool:
    """Whether the headers of so many consecutive frames of that format begin at that byte."""
    for _ in range(count):
        header = data[position : min(position + HEADER_BYTES, end)]
        if parse_format(header) != frame_format:
            return False
        position += frame_format.frame_bytes(header[2])
    return True


def _skip_tags(data: mmap.mmap, position: int, end: int) -> int:
    """The byte after the tags that begin at that byte: ID3v1, ID3v2, APE, Lyrics3."""
    while position < end:
        length = _tag_length(data, position)
        if not length:
            break
        position += length
    return min(position, end)


def _tag_length(data: mmap.mmap, position: int) -> int:
    head = data[position : position + APE_HEADER_BYTES]
    if head.startswith(b"TAG"):  # an enhanced tag stands before an ID3v1 tag
        return ENHANCED_BYTES if head.startswith(b"TAG+") else ID3V1_BYTES
    if head.startswith(b"APETAGEX") and len(head) == APE_HEADER_BYTES:
        items_bytes, flags = (int.from_bytes(head[at : at + 4], "little") for at in (12, 20))
        # The stated length includes the footer, not the header.
        return items_bytes + APE_HEADER_BYTES if flags & APE_IS_HEADER else APE_HEADER_BYTES
    if head.startswith(b"LYRICSBEGIN"):
        found = LYRICS_END.search(data, position, position + MAX_LYRICS_BYTES)
        return found.end() - position if found else 0
    return tag_bytes(head[:10])
