"""MP3 reader: extracts the window's frames; FFmpeg decodes them.

Where FFmpeg finds damaged frames, libsndfile decodes instead. The frames may lie in a WAV file,
whose header states a length that holds for a constant bit rate only: the frames are counted there
too. Pieces of different sample rates are joined (see `joined`).
"""

from __future__ import annotations

import mmap
import os
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from models.audio.containers.id3 import tags_end
from models.audio.containers.riff import MPEG_LAYER_3, find_wav_data
from models.audio.ffmpeg_graph import GraphSource
from models.audio.joined import AudioReader, JoinedReader, Piece
from models.audio.length import length_notes
from models.audio.libsndfile import (
    MAX_MISSING,
    MP3,
    mix_down,
    truncated_error,
)
from models.audio.mp3.frames import (
    CHECKSUM_BYTES,
    DECODER_DELAY,
    HEADER_BYTES,
    MAX_SIDE_BYTES,
    FrameFormat,
    make_prefix,
    mute_frame,
)
from models.audio.mp3.index import MAX_UNREAD_BYTES, Mp3Index, index_pieces
from models.audio.signal.mixing import Mix, read_in_phase
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
    """Reader of frames of one format; `open_mp3` opens a file."""

    def __init__(
        self,
        data: mmap.mmap,
        frames: Mp3Index,
        frame_format: FrameFormat,
        truncation: TruncatedAudio | None = None,
    ) -> None:
        self._data = data
        self._frames = frames
        self._skip = frames.info.skip if frames.info else 0
        self.codec = "mp3"
        self.sample_rate: int = frame_format.sample_rate
        self.channels = 1 if frame_format.is_mono else 2
        self.n_samples = min(frames.audio_samples, frames.n_samples - self._skip)
        stated_s = None
        if frames.info and frames.stated_samples and frames.outlasts_header:
            stated_s = frames.info.audio_samples(frames.frame_samples) / self.sample_rate
        self.notes = length_notes(stated_s, self.n_samples / self.sample_rate)
        if frames.unread_bytes > MAX_UNREAD_BYTES:
            note = f"{frames.unread_bytes} bytes after the last frame are no mp3 audio, and unread"
            self.notes = (*self.notes, note)
        self.truncation = truncation or _find_truncation(frames, self.sample_rate)

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio.

        Raises
        ------
        CorruptAudio
            If more than 1 % of the samples cannot be decoded.
        """
        return read_in_phase(self, start, count)

    def read_mixed(self, start: int, count: int, mix: Mix | None) -> Samples:
        """As `read`, the channels mixed by `mix`; by their mean if None."""
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
            mono = source.read(before, count, mix=mix)
            if mono is None:
                mono = self._read_damaged(descriptor, before - DECODER_DELAY, count, mix)
        finally:
            os.close(descriptor)
        return mono

    def _read_damaged(self, descriptor: int, before: int, count: int, mix: Mix | None) -> Samples:
        """As `read_mixed`, but by libsndfile, which continues after damaged frames."""
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
        return mix_down(samples, 1, mix)

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


def open_mp3(path: Path) -> AudioReader | None:
    """The reader of an MP3 file, or of MP3 in WAV; None for a file that is left to other readers.

    Raises
    ------
    CorruptAudio
        If the file begins with too many tags, or its sample rate changes too often.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"RIFF":
        return _open_wav(path)
    if head[:3] != b"ID3" and head[:1] != b"\xff":
        return None
    with closing(_map(path)) as data:
        pieces = index_pieces(data, tags_end(path), len(data))
    if not _agrees(path, pieces[0]):
        return None
    return _join(path, pieces)


def _open_wav(path: Path) -> AudioReader | None:
    wav = find_wav_data(path)
    if wav is None or wav.format_tag != MPEG_LAYER_3:
        return None
    with closing(_map(path)) as data:
        pieces = index_pieces(data, wav.begin, wav.end)
    truncation = None
    if wav.end - wav.begin < (wav.stated_end - wav.begin) * (1 - MAX_MISSING):
        truncation = TruncatedAudio(
            f"the header states {wav.stated_end} bytes, the file holds {wav.end}",
            value=wav.end,
            limit=wav.stated_end,
        )
    return _join(path, pieces, truncation)


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _agrees(path: Path, frames: Mp3Index) -> bool:
    """Whether libsndfile takes the file for MP3 of the same format, and of the stated length."""
    if frames.format is None:
        return False
    try:
        file = open_sound(path)
    except soundfile.LibsndfileError:
        return False
    with file:
        if file.subtype != MP3 or file.samplerate != frames.format.sample_rate:
            return False
        is_stated = frames.info is not None and not frames.outlasts_header
        return not is_stated or file.frames == frames.audio_samples


def _join(
    path: Path, indexes: list[Mp3Index], truncation: TruncatedAudio | None = None
) -> AudioReader | None:
    """The reader of all pieces that have samples; None without any."""
    openers = [
        partial(_open_piece, path, frames, frames.format, truncation)
        for frames in indexes
        if frames.format
    ]
    pieces: list[Piece] = []
    for open_piece in openers:
        with closing(open_piece()) as reader:
            if reader.n_samples > 0:
                pieces.append(Piece.of(reader, open_piece))
    if len(pieces) > 1:
        return JoinedReader(pieces)
    return pieces[0].open() if pieces else None


def _open_piece(
    path: Path, frames: Mp3Index, frame_format: FrameFormat, truncation: TruncatedAudio | None
) -> Mp3Reader:
    return Mp3Reader(_map(path), frames, frame_format, truncation)


def _find_truncation(frames: Mp3Index, sample_rate: int) -> TruncatedAudio | None:
    """The error if the frames are fewer than stated, or the last one lacks bytes."""
    stated = frames.stated_samples
    if stated is not None:
        if frames.n_samples < stated * (1 - MAX_MISSING):
            return truncated_error(stated / sample_rate, frames.n_samples / sample_rate)
    elif frames.missing_bytes:
        return TruncatedAudio(
            f"the file ends {frames.missing_bytes} bytes before its last frame does",
            value=frames.missing_bytes,
            limit=0,
        )
    return None


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
