"""MP3 reader: extracts the window's frames; FFmpeg decodes them.

Where FFmpeg finds damaged frames, libsndfile decodes instead.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Self

import numpy as np
import soundfile

from models.audio.ffmpeg_graph import GraphSource
from models.audio.id3 import tags_end
from models.audio.libsndfile import (
    MAX_MISSING,
    MP3,
    codec_name,
    mix_down,
    truncated_error,
)
from models.audio.mp3_frames import (
    CHECKSUM_BYTES,
    DECODER_DELAY,
    HEADER_BYTES,
    MAX_SIDE_BYTES,
    make_prefix,
    mute_frame,
)
from models.audio.mp3_index import Mp3Index, index_frames
from models.audio.window_choice import Samples
from models.errors import CorruptAudio, TruncatedAudio

# A frame's data may begin in earlier frames (the bit reservoir), at most this many bytes back.
RESERVOIR_BYTES = 511
# Some of the smallest frames (24 bytes) hold no data; the limit keeps the search for data from
# going back to the start of the file.
MAX_RESERVOIR_FRAMES = 64
MAX_OVERHEAD_BYTES = HEADER_BYTES + CHECKSUM_BYTES + MAX_SIDE_BYTES
# A decoded frame depends on the frame before it; one more for the state of the decoder's filters.
SETTLING_FRAMES = 2
MAX_UNDECODED = 0.01
AV_OPTIONS = {"format_whitelist": "mp3", "protocol_whitelist": "file"}


class Mp3Reader:
    """MP3 reader; use `open`, which returns None for files that are not MP3, or unusual MP3."""

    def __init__(self, data: mmap.mmap, frames: Mp3Index, file: soundfile.SoundFile) -> None:
        self._data = data
        self._frames = frames
        self._skip = frames.info.skip if frames.info else 0
        self.codec = codec_name(file.format, file.subtype)
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels
        self.n_samples = min(frames.audio_samples, frames.n_samples - self._skip)

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """The reader; None for a file that is left to `FfmpegReader`.

        Raises
        ------
        TruncatedAudio
            If the file is shorter than its first or last frame states.
        CorruptAudio
            If the file begins with too many tags.
        """
        with path.open("rb") as file:
            head = file.read(3)
            if head != b"ID3" and head[:1] != b"\xff":
                return None
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            reader = cls._from_data(path, data)
        except BaseException:
            data.close()
            raise
        if reader is None:
            data.close()
        return reader

    @classmethod
    def _from_data(cls, path: Path, data: mmap.mmap) -> Self | None:
        frames = index_frames(data, tags_end(path))
        if frames.format is None or frames.is_mixed:
            return None
        try:
            file = open_sound(path)
        except soundfile.LibsndfileError:
            return None
        with file:
            if file.subtype != MP3 or file.samplerate != frames.format.sample_rate:
                return None
            _check_complete(frames, file.samplerate)
            if frames.info and file.frames != frames.audio_samples:
                return None
            reader = cls(data, frames, file)
        return reader if reader.n_samples > 0 else None

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio.

        Raises
        ------
        CorruptAudio
            If more than 1 % of the samples cannot be decoded.
        """
        count = min(count, self.n_samples - start)
        if count <= 0:
            return np.zeros(0, np.float32)
        frame_samples = self._frames.frame_samples
        begin, end = start + self._skip, start + self._skip + count
        first = max(0, begin // frame_samples - SETTLING_FRAMES)
        last = min(-(-end // frame_samples), self._frames.n_mp3_frames)
        reservoir = self._reservoir_start(first)
        before = begin - (reservoir - 1) * frame_samples
        descriptor = self._cut(reservoir, first, last)
        source = GraphSource(
            Path(f"/proc/self/fd/{descriptor}"),
            self.sample_rate,
            n_samples=(1 + last - reservoir) * frame_samples,
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
        """As `read`, but by libsndfile, which continues after damaged frames."""
        try:
            with soundfile.SoundFile(descriptor, closefd=False) as file:
                samples = file.read(before + count, dtype="float32", always_2d=True)[before:]
        except soundfile.LibsndfileError as error:
            raise CorruptAudio("the mp3 audio cannot be decoded") from error
        if len(samples) < count * (1 - MAX_UNDECODED):
            raise CorruptAudio(
                f"only {len(samples) / count:.0%} of the window's mp3 audio decodes",
                value=round(len(samples) / count, 3),
                limit=1 - MAX_UNDECODED,
            )
        return mix_down(samples, 1)

    def _reservoir_start(self, first: int) -> int:
        """First frame of an excerpt that includes the bit reservoir of frame `first`."""
        start, end = first, self._position(first)
        while start > max(0, first - MAX_RESERVOIR_FRAMES):
            data_bytes = end - self._position(start) - (first - start) * MAX_OVERHEAD_BYTES
            if data_bytes >= RESERVOIR_BYTES:
                break
            start -= 1
        return start

    def _position(self, number: int) -> int:
        return self._frames.position(self._data, number)

    def _cut(self, reservoir: int, first: int, last: int) -> int:
        """Descriptor of a memfd with frames [reservoir, last); those before `first` are muted."""
        begin = self._position(reservoir)
        frames = bytearray(self._data[begin : self._position(last)])
        for number in range(reservoir, first):
            mute_frame(frames, self._position(number) - begin)
        descriptor = os.memfd_create("mp3")
        with open(descriptor, "wb", closefd=False) as file:
            file.write(make_prefix(frames, last - reservoir))
            file.write(frames)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def close(self) -> None:
        self._data.close()


def _check_complete(frames: Mp3Index, sample_rate: int) -> None:
    stated = frames.stated_samples
    if stated is not None:
        if frames.n_samples < stated * (1 - MAX_MISSING):
            raise truncated_error(stated / sample_rate)
    elif frames.missing_bytes:
        raise TruncatedAudio(
            f"the file ends {frames.missing_bytes} bytes before its last frame does",
            value=frames.missing_bytes,
            limit=0,
        )


def open_sound(path: Path) -> soundfile.SoundFile:
    """Open the file with libsndfile, after its tags.

    Raises
    ------
    CorruptAudio
        If there are too many tags.
    LibsndfileError
        If libsndfile cannot read the file.
    """
    begin = tags_end(path)
    descriptor = os.open(path, os.O_RDONLY)  # libsndfile closes it, also on failure
    os.lseek(descriptor, begin, os.SEEK_SET)
    return soundfile.SoundFile(descriptor)
