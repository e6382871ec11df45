"""The uploads: synthesised chords in every format, and as many different ones as are needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.sounds import golden, write

CLIP_S, SONG_S = 30, 240
NAMES = {CLIP_S: "30 s clip", SONG_S: "4 min song"}
# More than there are clients, so that no two of the same are under way at once.
N_FILES = 6


class Sounds:
    """Stereo 44.1 kHz: a chord that changes, with noise. Made once a run, and kept in a folder."""

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

    def different(self, seconds: int, count: int) -> list[bytes]:
        """So many MP3s, each with a tag of its own at its end: no two have the same digest."""
        contents = self.contents("mp3", seconds)
        tags = (b"TAG" + str(turn).encode().ljust(125) for turn in range(count))
        return [contents[turn % N_FILES] + tag for turn, tag in enumerate(tags)]
