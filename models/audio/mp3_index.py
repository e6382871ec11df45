"""Where the frames of an MP3 file are, and so how long it is.

Only some MP3 files state their length, and libsndfile guesses that of the others from the size of
the file, tags and all; to seek, it steps through every frame before. Here a regular expression
that matches a run of frames does so, half a millisecond a minute of audio.
"""

from __future__ import annotations

import mmap
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from models.audio.id3 import tags_end
from models.audio.mp3_frames import LAYER_3, Kind, Stated, kind_of, stated_by

# Eleven bits of sync, any version, layer III; a valid bit rate and sample rate.
FRAME_START = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb]", re.DOTALL)
# Damage is stepped over, but a file of something else is not searched to its end.
MAX_RESYNC_BYTES = 1 << 20
# What may follow the last frame: ID3v1, APE, Lyrics3, ID3v2 footers.
TRAILING_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
# Frames that one match takes: runs as long as possible, then what is left of them.
RUNS = (256, 16, 1)


class Stretch(NamedTuple):
    """Frames that follow each other: the first one's number, and where it begins."""

    first: int
    position: int


@dataclass(frozen=True)
class Mp3Index:
    """What the headers tell.

    Attributes
    ----------
    n_mp3_frames : whole frames of audio
    n_frames : samples a channel, of all whole frames
    promised_frames : likewise, as the file's Xing or Info header states them; None without one
    missing_bytes : of a last frame that is cut short
    mixed : frames of several versions or sample rates; only those before the change are counted
    """

    kind: Kind | None
    stretches: tuple[Stretch, ...]
    n_mp3_frames: int
    stated: Stated | None
    missing_bytes: int
    mixed: bool
    end: int

    @property
    def frame_samples(self) -> int:
        return self.kind.frame_samples if self.kind else 0

    @property
    def n_frames(self) -> int:
        return self.n_mp3_frames * self.frame_samples

    @property
    def promised_frames(self) -> int | None:
        return self.stated.n_frames * self.frame_samples if self.stated else None

    @property
    def audio_frames(self) -> int:
        """Samples a channel without what the encoder put before and after, where it says so."""
        if self.stated is None:
            return self.n_frames
        stated = self.stated.n_frames * self.frame_samples
        return stated - self.stated.skip - self.stated.skip_at_end

    def position(self, data: mmap.mmap, number: int) -> int:
        """The byte where a frame begins; of the one after the last, where that ends."""
        if number >= self.n_mp3_frames or self.kind is None:
            return self.end
        stretch = self.stretches[bisect_right(self.stretches, (number, len(data))) - 1]
        left, position = number - stretch.first, stretch.position
        for run in RUNS:
            while left >= run and (found := _runs(self.kind)[run].match(data, position)):
                left, position = left - run, found.end()
        return position


def measure(path: Path) -> Mp3Index:
    """Step through the frames of a layer III file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return index(data, tags_end(path))


def index(data: mmap.mmap, begin: int) -> Mp3Index:
    """Step through the frames of a layer III file, which begins behind its tags."""
    position = _next_frame(data, begin)
    kind = kind_of(data[position : position + 3])
    if kind is None:
        return Mp3Index(None, (), 0, None, 0, False, position)
    found = _runs(kind)[1].match(data, position)
    stated = stated_by(found[0]) if found else None
    if found and stated:
        position = found.end()  # this frame holds no audio
    return _walk(data, kind, stated, position)


def _walk(data: mmap.mmap, kind: Kind, stated: Stated | None, position: int) -> Mp3Index:
    count, missing, mixed = 0, 0, False
    stretches: list[Stretch] = []
    end = position
    while True:
        for run in RUNS:
            matches = _runs(kind)[run].match
            while found := matches(data, position):
                stretches.append(Stretch(count, position))
                count, position = count + run, found.end()
        end = position
        header = data[position : position + 3]
        if kind_of(header) == kind:
            missing = position + kind.frame_bytes(header[2]) - len(data)
            break
        position = _next_frame(data, position)
        following = kind_of(data[position : position + 3])
        if following != kind:
            mixed = following is not None
            break
    return Mp3Index(kind, tuple(stretches), count, stated, missing, mixed, end)


@cache
def _runs(kind: Kind) -> dict[int, re.Pattern[bytes]]:
    """Patterns for so many whole frames of that kind, of any bit rate, after each other."""
    lengths: dict[int, list[int]] = {}
    for third in range(0x10, 0xF0):
        if third >> 2 & 3 == kind.rate:
            lengths.setdefault(kind.frame_bytes(third), []).append(third)
    bodies = b"|".join(
        b"[%b].{%d}" % (b"".join(rb"\x%02x" % third for third in thirds), length - 3)
        for length, thirds in lengths.items()
    )
    second = LAYER_3 | kind.version << 3
    frame = rb"\xff[\x%02x\x%02x](?:%b)" % (second, second | 1, bodies)
    return {run: re.compile(b"(?:%b){%d}+" % (frame, run), re.DOTALL) for run in RUNS}


def _next_frame(data: mmap.mmap, position: int) -> int:
    """The next place where two frames follow each other; the end where there is none, or a tag."""
    if data[position : position + 11].startswith(TRAILING_TAGS):
        return len(data)
    for found in FRAME_START.finditer(data, position, position + MAX_RESYNC_BYTES):
        if kind := kind_of(found[0]):
            after = found.start() + kind.frame_bytes(found[0][2])
            if kind_of(data[after : after + 3]) == kind:
                return found.start()
    return len(data)
