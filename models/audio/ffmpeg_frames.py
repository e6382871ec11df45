"""Frame-by-frame decoding: packets that are missing are silence, packets that fail are damage.

Encoders leave out packets of silence (discontinuous transmission), a muted call sends none, and a
network loses some: the audio around such a gap is at its time, and nothing of the file is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from models.audio.ffmpeg_blocks import Block, FrameBuffer
from models.audio.signal.mixing import Mix
from models.audio.window_choice import Samples
from models.errors import CorruptAudio

MAX_UNDECODED = 0.01
# Length of a packet that states none, until a frame has been decoded.
USUAL_SAMPLES = 1024
# 65,535 samples of FLAC at 8 kHz.
MAX_PACKET_S = 10
# Where a container seeks to a position long before the wanted one, as ADTS does.
MAX_DECODED_BEFORE_S = 1.0
Packet: TypeAlias = "av.Packet[AudioStream]"
Decode = Callable[["av.Packet[AudioStream]"], list[av.AudioFrame]]


@dataclass(frozen=True)
class Timeline:
    """Times of a stream's packets in samples from the first one.

    Attributes
    ----------
    origin : time of the first sample, in ticks of `time_base` seconds
    is_untimed : the times are not to be relied on; frames follow each other without a gap
    """

    origin: int
    time_base: Fraction
    sample_rate: int
    is_untimed: bool = False

    @cached_property
    def _scale(self) -> tuple[int, int]:
        """Samples per tick, as a fraction: arithmetic of `Fraction` is slow."""
        scale = self.time_base * self.sample_rate
        return scale.numerator, scale.denominator

    def to_samples(self, ticks: int) -> int:
        samples, per_ticks = self._scale
        return (ticks * samples + per_ticks // 2) // per_ticks

    def position(self, pts: int) -> int:
        return self.to_samples(pts - self.origin)

    @cached_property
    def max_packet_ticks(self) -> int:
        """Longest duration of a packet that is believed.

        FFmpeg states a negative one, of an Ogg packet that ends before it begins, as 2³² more.
        """
        return int(MAX_PACKET_S / self.time_base)


class FrameDecoder:
    """Decodes a stretch of a stream from where its container stands; use each one once.

    Attributes
    ----------
    gap_s : length of what had no packets, after `read`
    n_packets, n_failed : number of packets that were decoded, or could not be
    """

    def __init__(
        self, container: InputContainer, stream: AudioStream, timeline: Timeline, decode: Decode
    ) -> None:
        self._container = container
        self._stream = stream
        self._timeline = timeline
        self._decode = decode
        self._packet_samples = USUAL_SAMPLES
        self._damage: list[tuple[int, int]] = []
        self._other_rate = 0
        self._n_decoded = 0
        self.gap_s = 0.0
        self.n_packets = self.n_failed = 0

    def read(self, start: int, count: int, from_sample: int, mix: Mix | None = None) -> Samples:
        """Mono float32 samples [start, start + count); a gap is zero.

        Parameters
        ----------
        from_sample : packets that end long before it are not decoded
        mix : how the channels are mixed down; their mean by default

        Raises
        ------
        CorruptAudio
            If more than 1 % of the samples are in packets that cannot be decoded.
        """
        mono, end = np.zeros(count, np.float32), start + count
        n_filled = 0
        for block in self._blocks(from_sample, end):
            begin, until = max(block.position, start), min(block.end, end)
            if begin < until:
                block.mix_down(begin, mono[begin - start : until - start], mix)
                n_filled += until - begin
        n_damaged = sum(max(0, min(until, end) - max(at, start)) for at, until in self._damage)
        n_damaged = min(n_damaged, count - n_filled)
        if n_damaged > count * MAX_UNDECODED:
            raise self._error(1 - n_damaged / count)
        self.gap_s = (count - n_filled - n_damaged) / self._timeline.sample_rate
        return mono

    def _error(self, share: float) -> CorruptAudio:
        if self._other_rate:
            return CorruptAudio(
                f"the sample rate changes from {self._timeline.sample_rate} to {self._other_rate} "
                "Hz within the audio",
                value=self._other_rate,
                limit=self._timeline.sample_rate,
                remedy="convert the file to one sample rate",
            )
        return CorruptAudio(
            f"only {share:.0%} of the window's {self._stream.codec_context.name} audio decodes",
            value=round(share, 3),
            limit=1 - MAX_UNDECODED,
        )

    def _blocks(self, from_sample: int, end: int) -> Iterator[Block]:
        """Decode from the current position to sample `end`, in blocks without a gap."""
        buffer = FrameBuffer(self._timeline.sample_rate)
        for frame, position in self._frames(from_sample):
            if (block := buffer.add(frame, position)) is not None:
                yield block
            if buffer.end >= end:
                break
        if (block := buffer.take()) is not None:
            yield block

    def _frames(self, from_sample: int) -> Iterator[tuple[av.AudioFrame, int]]:
        """Decoded frames of the stream's sample rate, each with its position."""
        for frame in self.decode_all(from_sample):
            if frame.sample_rate != self._timeline.sample_rate:
                self._other_rate = frame.sample_rate
                if frame.pts is not None:
                    self._note_damage(self._timeline.position(frame.pts), frame.samples)
            elif self._timeline.is_untimed:
                yield frame, self._n_decoded
                self._n_decoded += frame.samples
            elif frame.pts is not None:
                self._packet_samples = frame.samples
                yield frame, self._timeline.position(frame.pts)

    def decode_all(self, from_sample: int = 0) -> Iterator[av.AudioFrame]:
        """Frames of all packets that can be decoded, from shortly before that sample on."""
        position = 0
        first = from_sample - round(MAX_DECODED_BEFORE_S * self._timeline.sample_rate)
        try:
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and not self._timeline.is_untimed:
                    position = self._timeline.position(packet.pts)
                    if packet.size and self._end_of(packet, position) < first:
                        continue
                self.n_packets += packet.size > 0
                try:
                    yield from self._decode(packet)
                except av.error.FFmpegError:
                    self.n_failed += 1
                    self._note_damage(position, self._end_of(packet, position) - position)
        except av.error.FFmpegError:  # unreadable from here on
            self._damage.append((position, 1 << 62))

    def _end_of(self, packet: Packet, position: int) -> int:
        n_samples = self._timeline.to_samples(packet.duration or 0)
        return position + (n_samples or self._packet_samples)

    def _note_damage(self, position: int, n_samples: int) -> None:
        if self._timeline.is_untimed:
            position, n_samples = self._n_decoded, self._packet_samples
        self._damage.append((position, position + n_samples))
