"""libsndfile reader: WAV, AIFF, AU and FLAC."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Self

import numpy as np
import soundfile

from models.audio.containers.au import is_understated
from models.audio.containers.flac import last_frame_position
from models.audio.containers.id3 import tags_end
from models.audio.containers.pcm import Tail, find_tail
from models.audio.length import Notes, length_notes
from models.audio.signal.mixing import Mix, read_in_phase
from models.audio.window_choice import Samples
from models.errors import CorruptAudio, TruncatedAudio

# libsndfile takes twice as long as FFmpeg for Vorbis and Opus.
OGG = b"OggS"
MP3 = "MPEG_LAYER_III"
# libsndfile reads a dozen more, obscure formats, which uploads must not reach. MP3 is excluded,
# since libsndfile guesses its length: see `models.audio.mp3.reader`.
AU = "AU"
CONTAINERS = {"WAV", "WAVEX", "RF64", "AIFF", AU, "FLAC"}
UNKNOWN_LENGTH = 1 << 60
# Containers with a data chunk, and the codecs of them whose bytes are the length. W64 and CAF are
# read here only where they have more data than they state, since FFmpeg takes them for cut.
CHUNKED = {"WAV", "WAVEX", "RF64", "AIFF", "W64", "CAF"}
PCM_BYTES = {
    **dict.fromkeys(("PCM_U8", "PCM_S8", "ULAW", "ALAW"), 1),
    **{"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8},
}
BIG_ENDIAN = {"AIFF", "CAF"}
# "RIFF : 1000 (should be 600)": the header states more bytes than the file holds. Encoders that
# write to a pipe state the largest number, and their files are complete.
STATED_SIZE = re.compile(r"(?:RIFF|FORM|data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)")
STREAMED = 0x7FFF_0000
# Read at the end of the file, to check that it is complete. Seeking to the very last sample of a
# FLAC file can take libFLAC as long as decoding the whole file.
TAIL_FRAMES = 8192
# Padding of tools that write whole sectors.
MAX_UNREAD_BYTES = 1 << 16
# As a share of the stated length: some tools trim a frame, or count a RIFF chunk twice.
MAX_MISSING = 0.005


class FileFrom(io.FileIO):
    """A file without its first bytes."""

    def __init__(self, path: Path, begin: int) -> None:
        super().__init__(path)
        self._begin = begin
        self.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + self._begin if whence == os.SEEK_SET else offset
        return super().seek(at, whence) - self._begin

    def tell(self) -> int:
        return super().tell() - self._begin


class SndfileReader:
    """libsndfile reader; use `open`, which returns None for files that libsndfile does not read."""

    def __init__(self, file: soundfile.SoundFile) -> None:
        self._file = file
        self._integer = file.subtype == "PCM_16"
        self.codec = codec_name(file.format, file.subtype)
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels
        self.n_samples: int = file.frames
        self.notes: Notes = ()
        self.truncation: TruncatedAudio | None = None
        self._bytes: FileFrom | None = None

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """The reader; None for a format of another reader.

        Raises
        ------
        TruncatedAudio
            If the header states more audio than the file holds, and where it ends is not known.
        """
        with path.open("rb") as head:
            if head.read(4) == OGG:
                return None
        if tags_end(path):  # libsndfile misreads a FLAC file after tags
            return None
        try:
            file = soundfile.SoundFile(path)
        except (soundfile.LibsndfileError, TypeError):  # `TypeError`: a name that ends in .raw
            return None
        tail = find_tail(path) if file.format in CHUNKED else None
        is_more = tail is not None and tail.is_audio and tail.unread_bytes > MAX_UNREAD_BYTES
        if tail and is_more and file.subtype in PCM_BYTES:
            return cls._read_on(file, path, tail)
        if file.format not in CONTAINERS or not 0 < file.frames < UNKNOWN_LENGTH:
            file.close()
            return None
        if file.format == AU and is_understated(path):
            file.close()  # libsndfile stops where the header states the end, FFmpeg does not
            return None
        reader = cls(file)
        if reader.codec == "flac" and last_frame_position(path) > file.frames:
            file.close()  # libFLAC stops where the header states the end, FFmpeg does not
            return None
        try:
            reader.truncation = reader._find_truncation(path)
        except TruncatedAudio:
            file.close()
            raise
        if tail:
            reader._note_unread(tail.unread_bytes)
        return reader

    @classmethod
    def _read_on(cls, file: soundfile.SoundFile, path: Path, tail: Tail) -> Self:
        """The reader of a file to its end, whatever its header states."""
        reader = cls(file)
        endian = "BIG" if file.format in BIG_ENDIAN else "LITTLE"
        frame_bytes = PCM_BYTES[file.subtype] * file.channels
        stated_s = (tail.end - tail.begin) / frame_bytes / file.samplerate
        file.close()
        reader._bytes = FileFrom(path, tail.begin)
        reader._file = soundfile.SoundFile(
            reader._bytes,
            samplerate=file.samplerate,
            channels=file.channels,
            subtype=file.subtype,
            endian=endian if file.endian == "FILE" else file.endian,
            format="RAW",
        )
        reader.n_samples = reader._file.frames
        reader.notes = length_notes(stated_s, reader.n_samples / reader.sample_rate)
        return reader

    def _note_unread(self, unread: int) -> None:
        """Add a note on bytes after the stated audio that are no chunk of the file."""
        if unread > MAX_UNREAD_BYTES:
            stated_s = self.n_samples / self.sample_rate
            self.notes = (f"the header promises {stated_s:.1f} s, {unread} bytes follow unread",)

    def _find_truncation(self, path: Path) -> TruncatedAudio | None:
        """The error if the file is cut; `n_samples` is then what it holds."""
        for stated, held in STATED_SIZE.findall(self._file.extra_info):
            if int(held) < int(stated) * (1 - MAX_MISSING) and int(stated) < STREAMED:
                return TruncatedAudio(
                    f"the header states {stated} bytes, the file holds {held}",
                    value=int(held),
                    limit=int(stated),
                )
        tail = min(self.n_samples, TAIL_FRAMES)
        try:
            self._file.seek(self.n_samples - tail)
            held_frames = len(self._file.read(tail))
        except soundfile.LibsndfileError:
            held_frames = 0
        if held_frames == tail:
            return None
        self._file.close()  # after a failed seek libFLAC reads nothing more
        self._file = soundfile.SoundFile(path)
        stated_s = self.n_samples / self.sample_rate
        self.n_samples = last_frame_position(path) if self.codec == "flac" else 0
        if not self.n_samples:
            raise truncated_error(stated_s, None)
        return truncated_error(stated_s, self.n_samples / self.sample_rate)

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio."""
        return read_in_phase(self, start, count)

    def read_mixed(self, start: int, count: int, mix: Mix | None) -> Samples:
        """As `read`, the channels mixed by `mix`; by their mean if None."""
        try:
            self._file.seek(min(start, self.n_samples))
            # 16-bit audio is read as int16: half the memory traffic, and the same numbers.
            dtype = "int16" if self._integer else "float32"
            count = max(0, min(count, self.n_samples - start))
            frames = self._file.read(count, dtype=dtype, always_2d=True)
        except soundfile.LibsndfileError as error:
            raise CorruptAudio(f"the {self.codec} audio cannot be decoded") from error
        return mix_down(frames, 32768 if self._integer else 1, mix)

    def close(self) -> None:
        self._file.close()
        if self._bytes:
            self._bytes.close()


def truncated_error(stated_s: float, held_s: float | None) -> TruncatedAudio:
    """The error of a file that ends at `held_s`, or at a time that is not known."""
    end = "earlier" if held_s is None else f"at {held_s:.2f} s"
    return TruncatedAudio(
        f"the header states {stated_s:.2f} s of audio, the file ends {end}",
        value=None if held_s is None else round(held_s, 2),
        limit=round(stated_s, 2),
    )


def mix_down(frames: np.ndarray, full_scale: int, mix: Mix | None = None) -> Samples:
    """Mean of the channels; (n, channels) -> (n,). Adding columns is faster than `mean(axis=1)`.

    Parameters
    ----------
    mix : compares the channels; with signs, it mixes them
    """
    n_channels = frames.shape[1]
    scale = np.float32(1 / (full_scale * n_channels))
    if n_channels == 1:
        return frames[:, 0] * scale
    if mix is not None and frames.size:
        channels = list(frames.T)
        mix.observe(channels)
        if mix.signs is not None:
            return mix.apply(channels, 1 / full_scale)
    if frames.dtype == np.int16 and n_channels == 2:
        # Both channels as the halves of an int32: no strides, and no rounding before `scale`.
        pairs = frames.view(np.int32)[:, 0]
        total = pairs >> 16
        total += pairs.astype(np.int16)
        mono: Samples = np.multiply(total, scale, dtype=np.float32)
        return mono
    mono = np.add(frames[:, 0], frames[:, 1], dtype=np.float32)
    for channel in range(2, n_channels):
        mono += frames[:, channel]
    mono *= scale
    return mono


def codec_name(container: str, subtype: str) -> str:
    """libsndfile's container and subtype as one lower-case word: `mp3`, `flac`, `pcm_16`, …"""
    if container == "FLAC":
        return "flac"
    return "mp3" if subtype == "MPEG_LAYER_III" else subtype.lower()
