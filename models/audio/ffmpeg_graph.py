"""FFmpeg filter graph (amovie): decodes and joins frames outside Python.

Passing each frame of some 20 ms to Python costs a fifth of its decoding time. The graph does not
report damage or gaps: if `GraphSource.read` detects any it returns None, and the caller decodes
frame by frame.
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
from models.audio.signal.mixing import Mix
from models.audio.window_choice import Samples

# 0.74 s at 44.1 kHz. One block more than the window has is decoded; a block costs some 20 µs.
GRAPH_BLOCK_SAMPLES = 32_768
# FFmpeg misplaces a Vorbis frame at the change from long to short blocks, in some music every tenth
# frame, and two blocks in a row may begin with such a frame. After a gap all blocks are misplaced.
MAX_MISPLACED = 2


@dataclass(frozen=True)
class GraphSource:
    """An audio stream of a file, opened by FFmpeg's `amovie` filter.

    Attributes
    ----------
    origin_s : timestamp of the audio's first sample
    n_samples : minimum length in samples per channel; a shorter stream is incomplete
    container : FFmpeg's name of the container, so that it need not be detected
    options : demuxer options
    """

    path: Path
    sample_rate: int
    origin_s: float = 0.0
    n_samples: int = 0
    stream: int = -1
    container: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def read(
        self, start: int, count: int, *, from_s: float = 0.0, mix: Mix | None = None
    ) -> Samples | None:
        """Mono float32 samples [start, start + count), the mean of the channels.

        None if samples are missing, or if the format changes.

        Parameters
        ----------
        from_s : position to seek to first, in seconds
        mix : how the channels are mixed down; their mean by default
        """
        mono, end = np.empty(count, np.float32), start + count
        jitter = MAX_JITTER_S * self.sample_rate
        position, n_misplaced = -1, 0
        try:
            for frame in self.blocks(from_s):
                stated_position = self._position(frame)
                if position < 0:
                    position = stated_position
                    if not 0 <= position <= start:
                        return None
                is_misplaced = abs(stated_position - position) > jitter
                n_misplaced = n_misplaced + 1 if is_misplaced else 0
                if n_misplaced > MAX_MISPLACED:
                    return None
                if position >= end and not n_misplaced:
                    return mono
                block = Block(position, frame)
                begin, until = max(position, start), min(block.end, end)
                if begin < until:
                    block.mix_down(begin, mono[begin - start : until - start], mix)
                position = block.end
        except (av.error.FFmpegError, ValueError):
            return None
        # A gap in the last block shows only in the position of its end.
        is_complete = position >= max(end, self.n_samples - jitter) and not n_misplaced
        return mono if is_complete else None

    def _position(self, frame: av.AudioFrame) -> int:
        """Position of a frame in samples; -1 without a timestamp or at another sample rate."""
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
        """Decoded frames from `from_s` on, of `GRAPH_BLOCK_SAMPLES` each except the last."""
        graph = Graph()
        graph.threads = 1
        nodes = [
            graph.add("amovie", **self._movie(from_s)),
            graph.add("asetnsamples", n=str(GRAPH_BLOCK_SAMPLES), p="0"),
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
