"""From a file to samples within FFmpeg: opened, sought, decoded and gathered by a filter graph.

To hand each frame of some 20 ms to Python costs a fifth of what it takes to decode it. The graph
does not tell what it stumbles over: whoever asks has another way where it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
import numpy as np
from av.filter import Graph

from models.audio.ffmpeg_blocks import MAX_JITTER_S, Block
from models.audio.window_choice import Samples

# 0.74 s at 44.1 kHz. One more than the window has is decoded; each costs some 20 µs by itself.
BLOCK_SAMPLES = 32_768
# FFmpeg misplaces a Vorbis frame where long blocks turn short, in some music every tenth, and two
# blocks in a row may begin with one. Behind a gap all blocks are astray.
MAX_ASTRAY = 2


@dataclass(frozen=True)
class Source:
    """A stream of a file, as FFmpeg's `amovie` opens it.

    Attributes
    ----------
    origin_s : the timestamp of the audio's first sample
    n_frames : samples a channel that it has at least; where it ends before them, some are missing
    container : FFmpeg's name of the only one that it can be, which then needs no guessing
    options : of the demuxer
    """

    path: Path
    sample_rate: int
    origin_s: float = 0.0
    n_frames: int = 0
    stream: int = -1
    container: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def read(self, start: int, count: int, *, from_s: float = 0.0) -> Samples | None:
        """Mono float32 samples [start, start + count), the mean of the channels.

        None where they are not all there, one after the other and of one format.

        Parameters
        ----------
        from_s : seek to there at first, in seconds
        """
        mono, end = np.empty(count, np.float32), start + count
        jitter = MAX_JITTER_S * self.sample_rate
        position, astray = -1, 0
        try:
            for frame in self.blocks(from_s):
                stated = self._position(frame)
                if position < 0:
                    position = stated
                    if not 0 <= position <= start:
                        return None
                astray = astray + 1 if abs(stated - position) > jitter else 0
                if astray > MAX_ASTRAY:
                    return None
                if position >= end and not astray:
                    return mono
                block = Block(position, frame)
                begin, until = max(position, start), min(block.end, end)
                if begin < until:
                    block.mix_down(begin, mono[begin - start : until - start])
                position = block.end
        except (av.error.FFmpegError, ValueError):
            return None
        # In the last block only its end tells of a gap.
        whole = position >= max(end, self.n_frames - jitter) and not astray
        return mono if whole else None

    def _position(self, frame: av.AudioFrame) -> int:
        """Where a frame begins, in samples; -1 where it does not say, or is at another rate."""
        if frame.time is None or frame.sample_rate != self.sample_rate:
            return -1
        return round((frame.time - self.origin_s) * self.sample_rate)

    def _movie(self, from_s: float) -> dict[str, str]:
        options = {
            "filename": str(self.path),
            "stream_index": str(self.stream),
            "seek_point": f"{max(0.0, from_s):.6f}",
            "dec_threads": "1",
            "format_opts": ":".join(f"{name}={value}" for name, value in self.options.items()),
        }
        return options | ({"format_name": self.container} if self.container else {})

    def blocks(self, from_s: float = 0.0) -> Iterator[av.AudioFrame]:
        """What is decoded from there on, each but the last one of `BLOCK_SAMPLES`."""
        graph = Graph()
        graph.threads = 1
        nodes = [
            graph.add("amovie", **self._movie(from_s)),
            graph.add("asetnsamples", n=str(BLOCK_SAMPLES), p="0"),
            graph.add("aformat", sample_fmts="fltp"),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        while True:
            try:
                frame = nodes[-1].pull()
            except av.error.EOFError:
                return
            assert isinstance(frame, av.AudioFrame)
            yield frame
