"""FIFO of decoded FFmpeg frames, joined into blocks so that Python's cost is per block.

A frame is some 20 ms of audio. Converting each frame to an array and mixing it down costs as much
as decoding it.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

from models.audio.signal.mixing import Mix
from models.audio.window_choice import Samples
from models.errors import CorruptAudio

# Half a megabyte of stereo. A block costs as much as twenty frames; larger blocks save nothing.
FIFO_BLOCK_SAMPLES = 65_536
# Some containers round times to milliseconds (WebM); the shortest packet of any codec is longer.
MAX_JITTER_S = 0.0015


@dataclass(frozen=True)
class Block:
    """Contiguous decoded audio; `position` is in samples from the start of the audio."""

    position: int
    frame: av.AudioFrame

    @property
    def end(self) -> int:
        return self.position + self.frame.samples

    def mix_down(self, begin: int, out: Samples, mix: Mix | None = None) -> None:
        """Write the channels' mix to `out`, from position `begin` on until `out` is full.

        Without `mix`, or where it has no signs, the mean of the channels.
        """
        planar = self.frame
        if planar.format.name != "fltp":
            (planar,) = av.AudioResampler(format="fltp").resample(planar)
        # For eight channels PyAV reports nine planes, and reads beyond the frame for the ninth.
        planes = planar.planes[: planar.layout.nb_channels]
        channels = [
            np.frombuffer(plane, np.float32, out.size, 4 * (begin - self.position))  # type: ignore[call-overload]
            for plane in planes
        ]
        first, *others = channels
        if not others:
            out[:] = first
            return
        if mix is not None:
            mix.observe(channels)
            if mix.signs is not None:
                out[:] = mix.apply(channels)
                return
        np.add(first, others[0], out=out)
        for plane in others[1:]:
            out += plane
        out *= np.float32(1 / (1 + len(others)))


class FrameBuffer:
    """FIFO of consecutive frames of one format, joined into blocks.

    Attributes
    ----------
    end : position after the last frame
    """

    def __init__(self, sample_rate: int) -> None:
        self._jitter = int(MAX_JITTER_S * sample_rate)
        self._fifo = av.AudioFifo()
        self._channels = 0
        self._was_misplaced = False
        self._start = 0
        self.end = 0

    def add(self, frame: av.AudioFrame, position: int) -> Block | None:
        """Append the frame at that position; returns the block before it if complete, else None."""
        # FFmpeg's FIFO assumes that every frame has as many channels as the first.
        other_format = frame.layout.nb_channels != self._channels
        misplaced = not -self._jitter <= position - self.end <= self._jitter
        # FFmpeg misplaces a Vorbis frame at the change from long to short blocks, and places the
        # next one correctly. So two misplaced frames in a row are a gap.
        gap = other_format or (misplaced and self._was_misplaced)
        self._was_misplaced = misplaced and not gap
        block = None
        if gap or self.end - self._start >= FIFO_BLOCK_SAMPLES:
            block = self.take()
            if other_format:
                self._fifo, self._channels = av.AudioFifo(), frame.layout.nb_channels
            self._start = self.end = position if gap else self.end
        frame.pts = None  # else the FIFO would check it, in whole ticks
        try:
            self._fifo.write(frame)
        except ValueError as error:  # another sample format
            raise CorruptAudio("the audio stream changes its sample format") from error
        self.end += frame.samples
        return block

    def take(self) -> Block | None:
        """Remove and return the block of all frames in the buffer; None if the buffer is empty."""
        frame = self._fifo.read()
        return None if frame is None else Block(self._start, frame)
