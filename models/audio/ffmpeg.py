"""FFmpeg decoder (PyAV): Vorbis, Opus, AAC and the other formats of its whitelist."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer

from models.audio.containers.id3 import tags_end
from models.audio.containers.matroska import Clusters
from models.audio.containers.ogg import missing_bytes
from models.audio.ffmpeg_frames import Decode, FrameDecoder, Timeline
from models.audio.ffmpeg_graph import GRAPH_BLOCK_SAMPLES, GraphSource
from models.audio.ffmpeg_length import StreamLength, compare_lengths, find_end_s
from models.audio.ffmpeg_open import (
    OPEN_OPTIONS,
    audio_stream,
    name_codec,
    open_container,
    other_error,
)
from models.audio.ffmpeg_opus import MAX_OPUS_PEAK, OpusDecoder
from models.audio.length import MAX_UNNOTED_S
from models.audio.signal.mixing import Mix, read_in_phase
from models.audio.window_choice import Samples
from models.errors import (
    NoAudioStream,
    TruncatedAudio,
    UnsupportedCodec,
)

# Decoded before the window: after a seek Opus converges in 80 ms (RFC 7845, section 4.6), AAC in
# two packets (46 ms).
PREROLL_S = 0.16
# Containers without an index, for which FFmpeg guesses a duration from the bit rate.
UNINDEXED = {"aac", "amr", "mp3"}
OGG, MATROSKA = "ogg", "matroska,webm"
# Times of compressed audio in WAV are estimated by FFmpeg from the bit rate. Such a file has no
# gaps: what is decoded is counted from its start.
UNTIMED = {"wav", "w64"}
PCM = "pcm_"
# Above this share of failing packets it is not damage: FFmpeg does not know that kind of stream.
MAX_FAILED = 0.5
# Codecs whose packets hold some thousand samples at most. A packet of PCM is as large as the
# container states, and FFmpeg's filter graph crashes where it cannot allocate memory for one.
BOUNDED = {"aac", "mp3", "opus", "vorbis"}
# A few blocks of Vorbis may all be misplaced (see `ffmpeg_graph`). Among this many, some are placed
# correctly, so that a gap is detected.
OPUS, VORBIS = "opus", "vorbis"
MIN_VORBIS_SAMPLES = 16 * GRAPH_BLOCK_SAMPLES
# The graph reopens the file for each window. A file that takes a hundred times as long to open as
# usual is opened only once, without a graph.
MAX_GRAPH_OPEN_S = 0.1
# Shorter reads are decoded frame by frame: opening the graph, and the blocks that it decodes beyond
# them, take longer than it saves. Not in WebM, whose times are too coarse to place single frames.
MIN_GRAPH_READ_S = 5.0
# Clusters are some seconds long.
BEFORE_LAST_S = (0, 10, 100)
# Each read may add one, and `window=all` reads often.
MAX_NOTES = 4


class FfmpegReader:
    """FFmpeg decoder of the default audio stream of a file.

    Raises
    ------
    NotAudio, NoAudioStream, TruncatedAudio, CorruptAudio, UnsupportedCodec
    """

    def __init__(self, path: Path) -> None:
        started_s = time.thread_time()
        self._path = path
        self._options = OPEN_OPTIONS | {"skip_initial_bytes": str(tags_end(path))}
        self._container = self._open(path)
        try:
            self._open_stream()
        except BaseException as error:
            self._container.close()
            # FFmpeg opens pictures in MP4 as videos.
            if isinstance(error, NoAudioStream) and (other := other_error(path)):
                raise other from error
            raise
        opens_fast = time.thread_time() - started_s < MAX_GRAPH_OPEN_S
        may_use_graph = opens_fast and self.codec in BOUNDED and not self._timeline.is_untimed
        self._source = self._open_graph() if may_use_graph else None

    def _open_stream(self) -> None:
        self._stream = audio_stream(self._container)
        context = self._stream.codec_context
        if context is None:  # despite its type: a codec unknown to FFmpeg
            raise NoAudioStream("the audio stream has a codec that no decoder knows")
        if self._stream.time_base is None or not context.sample_rate or not context.channels:
            raise NoAudioStream("the audio stream states no sample rate or no channels")
        self.codec = name_codec(context.name)
        self.sample_rate: int = context.sample_rate
        self.channels: int = context.channels
        container = self._container.format.name
        self._timeline = Timeline(
            origin=self._stream.start_time or 0,
            time_base=self._stream.time_base,
            sample_rate=self.sample_rate,
            is_untimed=container in UNTIMED and not context.name.startswith(PCM),
        )
        self._clusters = Clusters.find(self._path) if container == MATROSKA else None
        length = self._find_length()
        if length.duration_s <= 0 and length.truncation:
            raise length.truncation
        if length.duration_s <= 0:
            raise NoAudioStream("the audio stream has no samples")
        self.n_samples = int(length.duration_s * self.sample_rate)
        self.notes = length.notes
        self.truncation = length.truncation

    def _open_graph(self) -> GraphSource:
        return GraphSource(
            self._path,
            self.sample_rate,
            origin_s=self._origin_s,
            n_samples=self.n_samples,
            stream=self._stream.index,
            options=self._options,
        )

    @property
    def _origin_s(self) -> float:
        return float(self._timeline.origin * self._timeline.time_base)

    def _find_length(self) -> StreamLength:
        if self._timeline.is_untimed:
            return StreamLength(self._count_samples() / self.sample_rate)
        stated_s = self._stated_s()
        if self._clusters:
            held_s = self._last_cluster_end_s(self._clusters.last.time)
        else:
            near_s = stated_s - self._origin_s if stated_s > self._origin_s else stated_s
            held_s = find_end_s(partial(self._last_packet_end_s, self._container), near_s)
        length = compare_lengths(stated_s, held_s, self._origin_s)
        if self._container.format.name == OGG and (missing := missing_bytes(self._path)):
            # FFmpeg takes the last complete page for the end.
            truncation = TruncatedAudio(
                f"the file ends {missing} bytes before its last page does", value=missing, limit=0
            )
            return replace(length, truncation=truncation)
        return length

    def _last_cluster_end_s(self, last_time: int) -> float:
        """End of the last packet, in the last cluster, or before it where that is cut."""
        for back_s in BEFORE_LAST_S:
            first_time = last_time - int(back_s / self._timeline.time_base)
            with self._excerpt(first_time, last_time) as path, self._open(path) as last:
                if (end_s := self._last_packet_end_s(last, None)) > 0:
                    return end_s
        return 0.0

    def _stated_s(self) -> float:
        """The duration that the container states; 0 without any."""
        if self._container.format.name in UNINDEXED:
            return 0.0
        if self._stream.duration:
            return float(self._stream.duration * self._timeline.time_base)
        if self._container.duration and len(self._container.streams) == 1:
            return self._container.duration / av.time_base
        return 0.0

    def _count_samples(self) -> int:
        """Samples per channel in all packets, by decoding the file."""
        decode = self._stream.codec_context.decode
        decoder = FrameDecoder(self._container, self._stream, self._timeline, decode)
        count = sum(frame.samples for frame in decoder.decode_all())
        if not count or decoder.n_failed > MAX_FAILED * decoder.n_packets:
            container = self._container.format.name.upper()
            raise UnsupportedCodec(f"the codec {self.codec} in {container} is not read")
        return count

    def _last_packet_end_s(self, container: InputContainer, from_s: float | None) -> float:
        """End of the last packet in seconds after the first one; reads from `from_s` on."""
        end, origin, max_ticks = 0, self._timeline.origin, self._timeline.max_packet_ticks
        try:
            if from_s is not None:
                self._seek(container, from_s)
            for packet in container.demux(audio_stream(container)):
                if packet.pts is not None and packet.size and not packet.is_discard:
                    ticks = packet.duration or 0
                    end = max(end, packet.pts - origin + (ticks if ticks <= max_ticks else 0))
        except av.error.FFmpegError:
            pass  # the end of the readable part has been reached
        return float(end * self._timeline.time_base)

    def _seek(self, container: InputContainer, to_s: float) -> None:
        target = self._timeline.origin + int(to_s / self._timeline.time_base)
        try:
            container.seek(target, stream=audio_stream(container), backward=True)
        except av.error.FFmpegError:
            # Some containers (ADTS) seek only to the start.
            container.seek(0, backward=True, any_frame=True)

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio.

        Raises
        ------
        CorruptAudio
            If more than 1 % of the samples are in packets that cannot be decoded.
        """
        return read_in_phase(self, start, count)

    def read_mixed(self, start: int, count: int, mix: Mix | None) -> Samples:
        """As `read`, the channels mixed by `mix`; by their mean if None."""
        count = min(count, self.n_samples - start)
        if count <= 0:
            return np.zeros(0, np.float32)
        if self._clusters is None:
            return self._read(start, count, self._path, self._source, mix)
        bounds_s = start / self.sample_rate - PREROLL_S, (start + count) / self.sample_rate
        first, last = (int(at_s / self._timeline.time_base) for at_s in bounds_s)
        with self._excerpt(self._timeline.origin + first, self._timeline.origin + last) as path:
            # The excerpt begins where the window does, and does not reach the end of the audio.
            source = self._source and replace(self._source, path=path, n_samples=0)
            return self._read(start, count, path, source, mix)

    def _read(
        self, start: int, count: int, path: Path, source: GraphSource | None, mix: Mix | None
    ) -> Samples:
        mono = None
        if source and self._prefers_graph(count):
            from_s = start / self.sample_rate - PREROLL_S if path is self._path else 0.0
            mono = source.read(start, count, from_s=from_s, mix=mix)
        if mono is None:
            mono = self._read_by_frames(start, count, path, mix)
        if self.codec == OPUS and not (mono.min() > -MAX_OPUS_PEAK and mono.max() < MAX_OPUS_PEAK):
            return self._read_by_frames(start, count, path, mix, OpusDecoder(self._stream).decode)
        return mono

    def _prefers_graph(self, count: int) -> bool:
        """Whether the graph decodes a read of `count` samples faster and detects its gaps."""
        if self.codec == VORBIS and count < MIN_VORBIS_SAMPLES:
            return False
        is_coarse = self._timeline.time_base * self.sample_rate > 1
        return is_coarse or count >= MIN_GRAPH_READ_S * self.sample_rate

    def _read_by_frames(
        self, start: int, count: int, path: Path, mix: Mix | None, decode: Decode | None = None
    ) -> Samples:
        """As `read`, by the stream's own decoder unless another one is given."""
        from_s = start / self.sample_rate - PREROLL_S
        with self._positioned(path, from_s) as container:
            stream = audio_stream(container)
            decode = decode or stream.codec_context.decode
            decoder = FrameDecoder(container, stream, self._timeline, decode)
            mono = decoder.read(start, count, int(from_s * self.sample_rate), mix)
        if decoder.gap_s > MAX_UNNOTED_S:
            read_s, start_s = count / self.sample_rate, start / self.sample_rate
            note = (
                f"{decoder.gap_s:.1f} s of the {read_s:.1f} s read from {start_s:.1f} s on have no "
                "packets, and are silence"
            )
            self.notes = (*self.notes[: MAX_NOTES - 1], note)
        return mono

    @contextmanager
    def _positioned(self, path: Path, from_s: float) -> Iterator[InputContainer]:
        """The container shortly before `from_s`.

        An excerpt begins there. An untimed stream is decoded from its start, by a decoder in its
        first state.

        An Ogg file is opened again for each window: FFmpeg misplaces audio from an Ogg file's last
        page on if it has read that page before and seeks to the middle of the page.
        """
        if path is not self._path or self._timeline.is_untimed:
            with self._open(path) as container:
                yield container
        elif self._container.format.name == OGG:
            with self._open(path) as container:
                self._seek(container, from_s)
                yield container
        else:
            self._seek(self._container, from_s)
            yield self._container

    @contextmanager
    def _excerpt(self, first: int, last: int) -> Iterator[Path]:
        """A file in memory of the clusters with the ticks [first, last]."""
        assert self._clusters
        descriptor = os.memfd_create("excerpt")
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(self._clusters.excerpt(first, last))
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)

    def _open(self, path: Path) -> InputContainer:
        return open_container(path, self._options)

    def close(self) -> None:
        self._container.close()
