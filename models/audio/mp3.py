"""Reading MP3: a window's frames are cut out of the file, and only these are decoded.

By FFmpeg, and by libsndfile where that finds damage.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Self

import numpy as np
import soundfile

from models.audio.ffmpeg_graph import Source
from models.audio.id3 import tags_end
from models.audio.libsndfile import (
    MAX_MISSING,
    MP3,
    codec_name,
    ends_early,
    mix_down,
)
from models.audio.mp3_frames import (
    CHECKSUM_BYTES,
    DECODER_DELAY,
    HEADER_BYTES,
    MAX_SIDE_BYTES,
    lead,
    silence,
)
from models.audio.mp3_index import Mp3Index, index
from models.audio.window_choice import Samples
from models.errors import CorruptAudio, TruncatedAudio

# A frame's data may begin in those before it (the bit reservoir), so many bytes back at most.
RESERVOIR_BYTES = 511
# Of the smallest frames (24 bytes) some hold nothing: it is not sought back to the file's start.
MAX_SUPPLY_FRAMES = 64
MAX_OVERHEAD_BYTES = HEADER_BYTES + CHECKSUM_BYTES + MAX_SIDE_BYTES
# What a frame sounds like depends on the one before it; one more for the filters' memory.
SETTLING_FRAMES = 2
MAX_UNDECODED = 0.01
AV_OPTIONS = {"format_whitelist": "mp3", "protocol_whitelist": "file"}


class Mp3Reader:
    """An open file; use `open`, which returns None for what is no MP3, or an odd one."""

    def __init__(self, data: mmap.mmap, frames: Mp3Index, file: soundfile.SoundFile) -> None:
        self._data = data
        self._frames = frames
        self._skip = frames.stated.skip if frames.stated else 0
        self.codec = codec_name(file.format, file.subtype)
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels
        self.n_frames = min(frames.audio_frames, frames.n_frames - self._skip)

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """The reader; None where FFmpeg may know better.

        Raises
        ------
        TruncatedAudio
            Where the file holds less than its first or its last frame promises.
        CorruptAudio
            Where too many tags are in front.
        """
        with path.open("rb") as file:
            head = file.read(3)
            if head != b"ID3" and head[:1] != b"\xff":
                return None
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            reader = cls._of(path, data)
        except BaseException:
            data.close()
            raise
        if reader is None:
            data.close()
        return reader

    @classmethod
    def _of(cls, path: Path, data: mmap.mmap) -> Self | None:
        frames = index(data, tags_end(path))
        if frames.kind is None or frames.mixed:
            return None
        try:
            file = open_sound(path)
        except soundfile.LibsndfileError:
            return None
        with file:
            if file.subtype != MP3 or file.samplerate != frames.kind.sample_rate:
                return None
            _check_whole(frames, file.samplerate)
            if frames.stated and file.frames != frames.audio_frames:
                return None
            reader = cls(data, frames, file)
        return reader if reader.n_frames > 0 else None

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio.

        Raises
        ------
        CorruptAudio
            Where more than 1 % of them do not decode.
        """
        count = min(count, self.n_frames - start)
        if count <= 0:
            return np.zeros(0, np.float32)
        frame_samples = self._frames.frame_samples
        begin, end = start + self._skip, start + self._skip + count
        first = max(0, begin // frame_samples - SETTLING_FRAMES)
        last = min(-(-end // frame_samples), self._frames.n_mp3_frames)
        supply = self._supply(first)
        before = begin - (supply - 1) * frame_samples
        descriptor = self._cut(supply, first, last)
        source = Source(
            Path(f"/proc/self/fd/{descriptor}"),
            self.sample_rate,
            n_frames=(1 + last - supply) * frame_samples,
            container="mp3",
            options=AV_OPTIONS,
        )
        try:
            mono = source.read(before, count)
            if mono is None:
                mono = self._read_damaged(descriptor, before - DECODER_DELAY, count)
        finally:
            os.close(descriptor)
        return mono

    def _read_damaged(self, descriptor: int, before: int, count: int) -> Samples:
        """The same by libsndfile, which goes on behind what does not decode."""
        try:
            with soundfile.SoundFile(descriptor, closefd=False) as file:
                samples = file.read(before + count, dtype="float32", always_2d=True)[before:]
        except soundfile.LibsndfileError as error:
            raise CorruptAudio("the mp3 audio does not decode") from error
        if len(samples) < count * (1 - MAX_UNDECODED):
            raise CorruptAudio(
                f"only {len(samples) / count:.0%} of the window's mp3 audio decodes",
                value=round(len(samples) / count, 3),
                limit=1 - MAX_UNDECODED,
            )
        return mix_down(samples, 1)

    def _supply(self, first: int) -> int:
        """The frame to begin at, so that the data of that one is there."""
        supply, end = first, self._position(first)
        while supply > max(0, first - MAX_SUPPLY_FRAMES):
            held = end - self._position(supply) - (first - supply) * MAX_OVERHEAD_BYTES
            if held >= RESERVOIR_BYTES:
                break
            supply -= 1
        return supply

    def _position(self, number: int) -> int:
        return self._frames.position(self._data, number)

    def _cut(self, supply: int, first: int, last: int) -> int:
        """A file in memory of those frames, the ones before `first` silent; its descriptor."""
        begin = self._position(supply)
        frames = bytearray(self._data[begin : self._position(last)])
        for number in range(supply, first):
            silence(frames, self._position(number) - begin)
        descriptor = os.memfd_create("mp3")
        with open(descriptor, "wb", closefd=False) as file:
            file.write(lead(frames, last - supply))
            file.write(frames)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def close(self) -> None:
        self._data.close()


def _check_whole(frames: Mp3Index, sample_rate: int) -> None:
    promised = frames.promised_frames
    if promised is not None:
        if frames.n_frames < promised * (1 - MAX_MISSING):
            raise ends_early(promised / sample_rate)
    elif frames.missing_bytes:
        raise TruncatedAudio(
            f"the file ends {frames.missing_bytes} bytes before its last frame does",
            value=frames.missing_bytes,
            limit=0,
        )


def open_sound(path: Path) -> soundfile.SoundFile:
    """As libsndfile reads it, from behind the tags in front.

    Raises
    ------
    CorruptAudio
        Where there are too many tags; `LibsndfileError` where it reads no such file.
    """
    begin = tags_end(path)
    descriptor = os.open(path, os.O_RDONLY)  # libsndfile closes it, also where it fails
    os.lseek(descriptor, begin, os.SEEK_SET)
    return soundfile.SoundFile(descriptor)
