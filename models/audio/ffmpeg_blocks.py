"""Decoded frames gathered into blocks, so that Python's share is per block and not per frame.

A frame is some 20 ms of audio. To turn each into an array and to mix it down costs as much as to
decode it.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

from models.audio.window_choice import Samples
from models.errors import CorruptAudio

# Half a megabyte of stereo. A block costs as much as twenty frames; larger ones save nothing more.
BLOCK_SAMPLES = 65_536
# Some containers state times in milliseconds (WebM); the shortest packet of any codec is longer.
MAX_JITTER_S = 0.0015


@dataclass(frozen=True)
class Block:
    """Contiguous audio; `position` counts in samples from the start of the audio."""

    position: int
    frame: av.AudioFrame

    @property
    def end(self) -> int:
        return self.position + self.frame.samples

    def mix_down(self, begin: int, into: Samples) -> None:
        """Write the mean of the channels, from that position on, until `into` is full."""
        planar = self.frame
        if planar.format.name != "fltp":
            (planar,) = av.AudioResampler(format="fltp").resample(planar)
        # Of eight channels PyAV finds nine planes, and reads the ninth where none is.
        planes = planar.planes[: planar.layout.nb_channels]
        first, *others = (
            np.frombuffer(plane, np.float32, into.size, 4 * (begin - self.position))  # type: ignore[call-overload]
            for plane in planes
        )
        if not others:
            into[:] = first
            return
        np.add(first, others[0], out=into)
        for plane in others[1:]:
            into += plane
        into *= np.float32(1 / (1 + len(others)))


class Gathered:
    """Frames that follow each other and are of one kind."""

    def __init__(self, sample_rate: int) -> None:
        self._jitter = int(MAX_JITTER_S * sample_rate)
        self._fifo = av.AudioFifo()
        self._channels = 0
        self._astray = False
        self._start = 0
        self.end = 0

    def add(self, frame: av.AudioFrame, position: int) -> Block | None:
        """Take in the frame that begins there; the block before it, where that is complete."""
        # FFmpeg's queue believes that every frame has the channels of the first.
        other = frame.layout.nb_channels != self._channels
        astray = not -self._jitter <= position - self.end <= self._jitter
        # FFmpeg misplaces a Vorbis frame where long blocks turn short, and the next is right again.
        gap = other or (astray and self._astray)
        self._astray = astray and not gap
        block = None
        if gap or self.end - self._start >= BLOCK_SAMPLES:
            block = self.take()
            if other:
                self._fifo, self._channels = av.AudioFifo(), frame.layout.nb_channels
            self._start = self.end = position if gap else self.end
        frame.pts = None  # or the queue would check it, in whole ticks
        try:
            self._fifo.write(frame)
        except ValueError as error:  # another sample format
            raise CorruptAudio("the audio stream changes its format on the way") from error
        self.end += frame.samples
        return block

    def take(self) -> Block | None:
        """What has been gathered; None where that is nothing."""
        frame = self._fifo.read()
        return None if frame is None else Block(self._start, frame)
