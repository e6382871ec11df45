"""Reading by FFmpeg's libraries (PyAV): AAC, Opus, and whatever else its whitelist lets in."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream

from models.errors import CorruptAudio, NoAudioStream, NotAudio, TruncatedAudio
from models.window import Samples

# No playlists, no `concat`, no network: a file may name other files only where a demuxer lets it.
DEMUXERS = "mov,mp4,m4a,matroska,webm,ogg,aac,flac,mp3,wav,w64,aiff,caf,asf"
OPEN_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
# After a seek Opus settles in 80 ms (RFC 7845, section 4.6), AAC in two packets (46 ms).
PREROLL_S = 0.16
# Containers round durations, and encoders pad: what may be missing at the end of a whole file.
SLACK_S = 1.0
MAX_MISSING = 0.01
# Containers without an index, for which FFmpeg guesses a duration from the bit rate.
UNINDEXED = {"aac", "mp3"}


class AvReader:
    """An open file and its first audio stream.

    Raises
    ------
    NotAudio, NoAudioStream, TruncatedAudio
    """

    def __init__(self, path: Path) -> None:
        try:
            self._container = av.open(str(path), metadata_errors="ignore", options=OPEN_OPTIONS)
        except (av.error.FFmpegError, ValueError) as error:
            raise _open_error(path, error) from error
        try:
            self._open_stream()
        except BaseException:
            self._container.close()
            raise

    def _open_stream(self) -> None:
        streams = self._container.streams.audio
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams}))
            raise NoAudioStream(f"the file holds no audio stream, only: {kinds or 'nothing'}")
        self._stream = streams[0]
        context = self._stream.codec_context
        if context is None:  # its own types deny that, for a codec that FFmpeg has no decoder for
            raise NoAudioStream("the audio stream is of a codec that is not read")
        if self._stream.time_base is None or not context.sample_rate or not context.channels:
            raise NoAudioStream("the audio stream states no sample rate or no channels")
        self._time_base: Fraction = self._stream.time_base
        self._origin: int = self._stream.start_time or 0
        self.codec: str = context.name
        self.sample_rate: int = context.sample_rate
        self.channels: int = context.channels
        duration_s = self._duration_s()
        if duration_s <= 0:
            raise NoAudioStream("the audio stream holds no samples")
        self.n_frames = int(duration_s * self.sample_rate)

    def _duration_s(self) -> float:
        """What the container states, held against its last packets; else the last packet's end."""
        stated_s = 0.0
        if self._container.format.name in UNINDEXED:
            pass
        elif self._stream.duration:
            stated_s = float(self._stream.duration * self._time_base)
        elif self._container.duration and len(self._container.streams) == 1:
            stated_s = self._container.duration / av.time_base
        end_s = self._last_packet_end_s(max(0.0, stated_s - 2 * SLACK_S))
        if stated_s and end_s < stated_s - SLACK_S:
            raise TruncatedAudio(
                f"the header promises {stated_s:.2f} s of audio, the file ends at {end_s:.2f} s",
                value=round(end_s, 2),
                limit=round(stated_s, 2),
            )
        # Without a stated duration the packets tell; with one, it leaves encoder padding out.
        return min(stated_s, end_s) if stated_s else end_s

    def _last_packet_end_s(self, from_s: float) -> float:
        end = 0
        try:
            self._seek(from_s)
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and packet.size:
                    end = max(end, packet.pts - self._origin + (packet.duration or 0))
        except av.error.FFmpegError:
            pass  # the end of what can be read, which is what was asked
        return float(end * self._time_base)

    def _seek(self, to_s: float) -> None:
        target = self._origin + int(max(0.0, to_s) / self._time_base)
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
            Where more than 1 % of them do not decode.
        """
        count = min(count, self.n_frames - start)
        if count <= 0:
            return np.zeros(0, np.float32)
        mono = np.zeros(count, np.float32)
        filled = 0
        self._seek(start / self.sample_rate - PREROLL_S)
        for position, samples in self._decode():
            begin, end = max(position, start), min(position + samples.size, start + count)
            if begin < end:
                mono[begin - start : end - start] = samples[begin - position : end - position]
                filled += end - begin
            if position + samples.size >= start + count:
                break
        if filled < count * (1 - MAX_MISSING):
            raise CorruptAudio(
                f"only {filled / count:.0%} of the window's {self.codec} audio decodes",
                value=round(filled / count, 3),
                limit=1 - MAX_MISSING,
            )
        return mono

    def _decode(self) -> Iterator[tuple[int, Samples]]:
        """Blocks of mono samples with their position in samples from the start of the audio."""
        planar, first = av.AudioResampler(format="fltp"), None
        for packet in self._packets():
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.error.FFmpegError:
                continue  # one damaged packet is a gap, which `read` counts
            for frame in frames:
                if frame.pts is None or frame.time_base is None:
                    continue
                kind = (frame.format.name, frame.layout.name, frame.sample_rate)
                first = first or kind
                if kind != first:
                    continue  # the resampler would pass it on as it is: a gap too
                seconds = frame.pts * frame.time_base - self._origin * self._time_base
                position = round(seconds * self.sample_rate)
                for block in planar.resample(frame):
                    channels = _planes(block)
                    yield position, channels.sum(0) / np.float32(channels.shape[0])
                    position += channels.shape[1]

    def _packets(self) -> Iterator[av.Packet[AudioStream]]:
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError:
            return  # unreadable from here on: `read` counts what is missing

    def close(self) -> None:
        self._container.close()


def _planes(block: av.AudioFrame) -> Samples:
    """Float planes as an array of shape (channels, n).

    Of eight channels PyAV's `to_ndarray` finds nine, and reads the ninth where none is.
    """
    planes = block.planes[: block.layout.nb_channels]
    return np.stack(
        [np.frombuffer(memoryview(plane), np.float32, block.samples) for plane in planes]
    )


def _open_error(path: Path, error: Exception) -> NotAudio | TruncatedAudio:
    with path.open("rb") as file:
        head = file.read(12)
    # An MP4 keeps its index (`moov`) at the end unless told otherwise: cut off, it does not open.
    if head[4:8] == b"ftyp" and isinstance(error, av.error.InvalidDataError):
        return TruncatedAudio("the MP4 file ends before its index")
    known = {b"fLaC": "FLAC", b"OggS": "Ogg", b"RIFF": "WAV", b"FORM": "AIFF", b"ID3\x03": "MP3"}
    name = known.get(head[:4])
    if name:
        return TruncatedAudio(f"the file begins as {name} and ends before there is any audio")
    return NotAudio("no decoder recognises the file")
