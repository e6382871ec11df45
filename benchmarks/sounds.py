"""Upload generator: synthesised chords in every format, with distinct digests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.sounds import golden, write

CLIP_S, SONG_S = 30, 240
NAMES = {CLIP_S: "30 s clip", SONG_S: "4 min song"}
N_FILES = 6


class Sounds:
    """Stereo 44.1 kHz: a changing chord with noise. Made once per run, and kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, kind: str, seconds: int) -> list[Path]:
        """`N_FILES` files that start at different places of the same sound."""
        paths = [self.folder / f"{seconds}-{turn}.{kind}" for turn in range(N_FILES)]
        if not paths[0].exists():
            sound = golden(seconds)
            for turn, path in enumerate(paths):
                write(path, np.roll(sound, turn * 44_100, axis=0))
        return paths

    def contents(self, kind: str, seconds: int) -> list[bytes]:
        return [path.read_bytes() for path in self.files(kind, seconds)]

    def forget(self, kind: str, seconds: int) -> None:
        for path in self.files(kind, seconds):
            path.unlink()

    def different(self, kind: str, seconds: int, count: int) -> list[bytes]:
        """Uploads of the same sounds, no two with the same digest."""
        contents = self.contents(kind, seconds)
        return [MARKED[kind](contents[turn % N_FILES], b"%08d" % turn) for turn in range(count)]


def _vendor(content: bytes, mark: bytes) -> bytes:
    """Put the mark into the encoder name, which every FLAC file states."""
    at = content.index(b"libFLAC")
    return content[:at] + mark[-7:] + content[at + 7 :]


# How to make a file of each format unique without changing the decoded audio.
MARKED: dict[str, Callable[[bytes, bytes], bytes]] = {
    "mp3": lambda content, mark: content + b"TAG" + mark.ljust(125),
    "flac": _vendor,
    "wav": lambda content, mark: content[: -len(mark)] + mark,  # the last samples
    "m4a": lambda content, mark: content + (16).to_bytes(4) + b"free" + mark,
}
