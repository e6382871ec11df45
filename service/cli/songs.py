"""Songs to embed: files, folders, or paths on standard input."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.audio_names import list_audio
from service.cli.errors import BadArgument

STDIN = "-"


@dataclass(frozen=True)
class Song:
    """A file, and what tells whether it has changed.

    Attributes
    ----------
    track_id : the path below the folder that was given, without the extension; of a file that was
        given itself, its name
    path : absolute
    size, mtime_ns : bytes, and nanoseconds since 1970; 0 of a file that is missing
    uri : of a file that Hadoop reads; empty for one of this machine
    """

    track_id: str
    path: Path
    size: int
    mtime_ns: int
    uri: str = ""

    @property
    def address(self) -> str:
        """The URI, or the path of a file of this machine."""
        return self.uri or str(self.path)

    @classmethod
    def of(cls, path: Path, track_id: str) -> Song:
        try:
            found = path.stat()
        except OSError:  # said when the file is read
            return cls(track_id, path, 0, 0)
        return cls(track_id, path, found.st_size, found.st_mtime_ns)


def list_songs(given: Sequence[str], lines: Iterable[str]) -> list[Song]:
    """Every song in files and folders, sorted by track id.

    Parameters
    ----------
    given : paths; `-` stands for the paths in `lines`, one each

    Raises
    ------
    BadArgument
        If a path does not exist, there is no song, or two songs have one track id.
    """
    return sort_songs(_find_all(given, lines), given)


def sort_songs(found: Iterable[Song], given: Sequence[str]) -> list[Song]:
    """Songs by track id, each once.

    Raises
    ------
    BadArgument
        If there is no song, or two have one track id.
    """
    by_address = {song.address: song for song in found}
    songs = sorted(by_address.values(), key=lambda song: song.track_id)
    if not songs:
        raise BadArgument("there is no audio file in " + ", ".join(given), value=", ".join(given))
    for first, second in itertools.pairwise(songs):
        if first.track_id == second.track_id:
            raise BadArgument(
                f"{first.address} and {second.address} both have the track id {first.track_id!r}",
                value=first.track_id,
                remedy="rename one of them, or give them in runs of their own",
            )
    return songs


def _find_all(given: Sequence[str], lines: Iterable[str]) -> Iterator[Song]:
    for text in given:
        if text == STDIN:
            yield from _find_all([line.rstrip("\r\n") for line in lines if line.strip()], ())
            continue
        path = Path(os.path.abspath(text))  # noqa: PTH100 - links are kept as they are named
        if path.is_dir():
            for file in list_audio(path):
                yield Song.of(file, file.relative_to(path).with_suffix("").as_posix())
        elif path.exists():
            yield Song.of(path, path.stem)
        else:
            raise BadArgument(f"{text} does not exist", value=text)
