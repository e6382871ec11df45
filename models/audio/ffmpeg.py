"""FFmpeg decoder (PyAV): Vorbis, Opus, AAC and the other formats of its whitelist."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from models.audio.ffmpeg_blocks import Block, FrameBuffer
from models.audio.ffmpeg_graph import GRAPH_BLOCK_SAMPLES, GraphSource
from models.audio.id3 import tags_end
from models.audio.length import Notes
from models.audio.ogg import missing_bytes
from models.audio.window_choice import Samples
from models.errors import CorruptAudio, NoAudioStream, NotAudio, TruncatedAudio

# No playlists, no `concat`, no network: with these demuxers a file cannot refer to other files.
DEMUXERS = "mov,mp4,m4a,matroska,webm,ogg,aac,flac,mp3,wav,w64,aiff,caf,asf"
OPEN_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
# Decoded before the window: after a seek Opus converges in 80 ms (RFC 7845, section 4.6), AAC in
# two packets (46 ms).
PREROLL_S = 0.16
# May be missing at the end of a complete file: containers round durations, and encoders pad.
SLACK_S = 1.0
MAX_UNDECODED = 0.01
# Containers without an index, for which FFmpeg guesses a duration from the bit rate.
UNINDEXED = {"aac", "mp3"}
OGG = "ogg"
# Codecs whose packets hold some thousand samples at most. A packet of PCM is as large as the
# container states, and FFmpeg's filter graph crashes where it cannot allocate memory for one.
BOUNDED = {"aac", "mp3", "mp3float", "opus", "vorbis"}
# A few blocks of Vorbis may all be misplaced (see `ffmpeg_graph`). Among this many, some are placed
# correctly, so that a gap is detected.
VORBIS = "vorbis"
MIN_VORBIS_SAMPLES = 16 * GRAPH_BLOCK_SAMPLES
# The graph reopens the file for each window. A file that takes a hundred times as long to open as
# usual is opened only once, without a graph.
MAX_GRAPH_OPEN_S = 0.1
# Shorter reads are decoded frame by frame: opening the graph, and the blocks that it decodes beyond
# them, take longer than it saves. Not in WebM, whose times are too coarse to place single frames.
MIN_GRAPH_READ_S = 5.0


class FfmpegReader:
    """FFmpeg decoder of the first audio stream of a file.

    Raises
    ------
    NotAudio, NoAudioStream, TruncatedAudio, CorruptAudio
    """

    def __init__(self, path: Path) -> None:
        started_s = time.thread_time()
        self._path = path
        self.notes: Notes = ()
        self._options = OPEN_OPTIONS | {"skip_initial_bytes": str(tags_end(path))}
        self._container = self._open()
        try:
            self._open_stream()
        except BaseException:
            self._container.close()
            raise
        opens_fast = time.thread_time() - started_s < MAX_GRAPH_OPEN_S
        self._source = self._open_graph() if opens_fast and self.codec in BOUNDED else None

    def _open_stream(self) -> None:
        self._stream = _audio_stream(self._container)
        context = self._stream.codec_context
        if context is None:  # despite its type: a codec unknown to FFmpeg
            raise NoAudioStream("the audio stream has a codec that no decoder knows")
        if self._stream.time_base is None or not context.sample_rate or not context.channels:
            raise NoAudioStream("the audio stream states no sample rate or no channels")
        self._time_base: Fraction = self._stream.time_base
        self._origin: int = self._stream.start_time or 0
        self.codec: str = context.name
        self.sample_rate: int = context.sample_rate
        self.channels: int = context.channels
        duration_s = self._duration_s()
        if duration_s <= 0:
            raise NoAudioStream("the audio stream has no samples")
        self.n_samples = int(duration_s * self.sample_rate)

    def _open_graph(self) -> GraphSource:
        return GraphSource(
            self._path,
            self.sample_rate,
            origin_s=float(self._origin * self._time_base),
            n_samples=self.n_samples,
            stream=self._stream.index,
            options=self._options,
        )

    def _duration_s(self) -> float:
        """The duration that the container states, checked against the end of its last packet.

        Without a stated duration, the end of the last packet.
        """
        stated_s = 0.0
        if self._container.format.name in UNINDEXED:
            pass
        elif self._stream.duration:
            stated_s = float(self._stream.duration * self._time_base)
        elif self._container.duration and len(self._container.streams) == 1:
            stated_s = self._container.duration / av.time_base
        if self._container.format.name == OGG and (missing := missing_bytes(self._path)):
            # FFmpeg takes the last complete page for the end.
            raise TruncatedAudio(
                f"the file ends {missing} bytes before its last page does", value=missing, limit=0
            )
        end_s = self._last_packet_end_s(max(0.0, stated_s - 2 * SLACK_S))
        if stated_s and end_s < stated_s - SLACK_S:
            raise TruncatedAudio(
                f"the header states {stated_s:.2f} s of audio, the file ends at {end_s:.2f} s",
                value=round(end_s, 2),
                limit=round(stated_s, 2),
            )
        # A stated duration leaves out the encoder's padding, which packets include.
        return min(stated_s, end_s) if stated_s else end_s

    def _last_packet_end_s(self, from_s: float) -> float:
        end = 0
        try:
            self._seek(from_s)
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and packet.size:
                    end = max(end, packet.pts - self._origin + (packet.duration or 0))
        except av.error.FFmpegError:
            pass  # the end of the readable part has been reached
        return float(end * self._time_base)

    def _seek(self, to_s: float) -> None:
        target = self._origin + int(to_s / self._time_base)
        try:
            self._container.seek(target, stream=self._stream, backward=True)
        except av.error.FFmpegError:
            # Some containers (ADTS, WebM without cues) seek only to the start.
            self._container.seek(0, backward=True, any_frame=True)

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
        from_s = start / self.sample_rate - PREROLL_S
        source = self._source if self._prefers_graph(count) else None
        mono = source.read(start, count, from_s=from_s) if source else None
        return self._read_by_frames(start, count, from_s) if mono is None else mono

    def _prefers_graph(self, count: int) -> bool:
        """Whether the graph decodes a read of `count` samples faster and detects its gaps."""
        if self.codec == VORBIS and count < MIN_VORBIS_SAMPLES:
            return False
        is_coarse = self._time_base * self.sample_rate > 1
        return is_coarse or count >= MIN_GRAPH_READ_S * self.sample_rate

    def _read_by_frames(self, start: int, count: int, from_s: float) -> Samples:
        """As `read`, but tolerates gaps and damage: missing samples are zero."""
        mono = np.zeros(count, np.float32)
        filled = 0
        self._reopen_ogg()
        self._seek(from_s)
        for block in self._blocks(start + count):
            begin, end = max(block.position, start), min(block.end, start + count)
            if begin < end:
                block.mix_down(begin, mono[begin - start : end - start])
                filled += end - begin
        if filled < count * (1 - MAX_UNDECODED):
            raise CorruptAudio(
                f"only {filled / count:.0%} of the window's {self.codec} audio decodes",
                value=round(filled / count, 3),
                limit=1 - MAX_UNDECODED,
            )
        return mono

    def _reopen_ogg(self) -> None:
        """Open an Ogg file again for each window.

        FFmpeg misplaces audio from an Ogg file's last page on if it has read that page before and
        seeks to the middle of the page.
        """
        if self._container.format.name == OGG:
            self._container.close()
            self._container = self._open()
            self._stream = _audio_stream(self._container)

    def _blocks(self, end: int) -> Iterator[Block]:
        """Decode from the current position to sample `end`, in blocks without a gap."""
        buffer = FrameBuffer(self.sample_rate)
        scale = self._time_base * self.sample_rate
        per_tick, ticks = scale.numerator, scale.denominator
        for frame in self._frames():
            if frame.pts is None or frame.sample_rate != self.sample_rate:
                continue
            position = ((frame.pts - self._origin) * per_tick + ticks // 2) // ticks
            if (block := buffer.add(frame, position)) is not None:
                yield block
            if buffer.end >= end:
                break
        if (block := buffer.take()) is not None:
            yield block

    def _frames(self) -> Iterator[av.AudioFrame]:
        decode = self._stream.codec_context.decode
        for packet in self._packets():
            try:
                yield from decode(packet)
            except av.error.FFmpegError:
                continue  # a damaged packet is a gap, which `_read_by_frames` counts

    def _packets(self) -> Iterator[av.Packet[AudioStream]]:
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError:
            return  # unreadable from here on: `_read_by_frames` counts the missing samples

    def _open(self) -> InputContainer:
        try:
            return av.open(str(self._path), metadata_errors="ignore", options=dict(self._options))
        except (av.error.FFmpegError, ValueError) as error:
            raise _open_error(self._path, error) from error

    def close(self) -> None:
        self._container.close()


def _audio_stream(container: InputContainer) -> AudioStream:
    streams = container.streams.audio
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise NoAudioStream(f"the file has no audio stream, only: {kinds or 'nothing'}")
    return streams[0]


def _open_error(path: Path, error: Exception) -> NotAudio | TruncatedAudio:
    with path.open("rb") as file:
        head = file.read(12)
    # An MP4 keeps its index (`moov`) at the end unless told otherwise: cut off, it does not open.
    if head[4:8] == b"ftyp" and isinstance(error, av.error.InvalidDataError):
        return TruncatedAudio("the MP4 file ends before its index")
    names = {b"fLaC": "FLAC", b"OggS": "Ogg", b"RIFF": "WAV", b"FORM": "AIFF", b"ID3\x03": "MP3"}
    if name := names.get(head[:4]):
        return TruncatedAudio(f"the file begins as {name} and ends before any audio")
    return NotAudio("no decoder recognises the file")
