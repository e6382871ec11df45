"""Pieces of a joined file: where each complete file begins in it, by its container.

A chained Ogg file has links, which are meant to be played one after another. Of other containers,
each header states the length of its own piece, and decoders read the first piece alone. Only a
container that ends before the file does is looked into, and of FLAC a few frame headers.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from models.audio.containers import adts, asf, au, caf, flac, matroska, mp4, ogg, riff
from models.audio.containers.id3 import tags_end
from models.audio.containers.walk import MAX_PIECES
from models.audio.joined import AudioReader, JoinedReader, Piece
from models.audio.length import Notes
from models.audio.window_choice import Samples
from models.errors import CorruptAudio, NoAudioStream

COPY_BYTES = 1 << 20
# By the first four bytes, or the four after them.
FINDERS: dict[bytes, Callable[[mmap.mmap, int], list[int]]] = {
    ogg.PAGE: ogg.link_starts,
    b"RIFF": riff.joined_starts,
    b"FORM": riff.joined_starts,
    b"ftyp": mp4.joined_starts,
    b"\x1aE\xdf\xa3": matroska.joined_starts,
    flac.MAGIC: flac.joined_starts,
    caf.MAGIC: caf.joined_starts,
    au.MAGIC: au.joined_starts,
    au.LITTLE_ENDIAN: au.joined_starts,
    asf.HEADER_OBJECT[:4]: asf.joined_starts,
}
OpenReader = Callable[[Path], AudioReader]


def open_joined(path: Path, open_reader: OpenReader) -> JoinedReader | None:
    """The reader of a joined file; None for a file of one piece.

    Parameters
    ----------
    open_reader : opens the file of one piece

    Raises
    ------
    CorruptAudio
        If there are more than `MAX_PIECES` pieces.
    NoAudioStream
        If no piece has audio.
    AudioError
        If a piece cannot be opened.
    """
    starts = find_starts(path)
    if len(starts) < 2:
        return None
    if len(starts) > MAX_PIECES:
        raise CorruptAudio(
            f"the file is more than {MAX_PIECES} recordings one after another",
            value=len(starts),
            limit=MAX_PIECES,
            remedy="send them in several files",
        )
    pieces: list[Piece] = []
    for begin, end in zip(starts, [*starts[1:], path.stat().st_size], strict=True):
        open_again = partial(PieceReader, path, begin, end, open_reader)
        try:
            reader = open_again()
        except NoAudioStream:  # a link of video, or of headers alone
            continue
        pieces.append(Piece.of(reader, open_again))
        reader.close()
    if not pieces:
        raise NoAudioStream(f"none of the {len(starts)} recordings in the file has audio")
    return JoinedReader(pieces)


def find_starts(path: Path) -> list[int]:
    """The byte at which each piece begins; one or none for a file that is not joined."""
    with path.open("rb") as file:
        head, begin = file.read(8), 0
        if head[:3] == b"ID3":
            begin = tags_end(path)
            file.seek(begin)
            head = file.read(8)
        find = FINDERS.get(head[:4]) or FINDERS.get(head[4:])
        if adts.begins_adts(head):
            find = adts.joined_starts
        if find is None:  # MP3 among others, whose frames are counted
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return find(data, begin)


class PieceReader:
    """Reader of bytes [begin, end) of a file, copied to a file of their own in memory."""

    def __init__(self, path: Path, begin: int, end: int, open_reader: OpenReader) -> None:
        self._descriptor = os.memfd_create("piece")
        try:
            self._copy(path, begin, end)
            self._reader = open_reader(Path(f"/proc/self/fd/{self._descriptor}"))
        except BaseException:
            os.close(self._descriptor)
            raise
        self.codec = self._reader.codec
        self.sample_rate = self._reader.sample_rate
        self.channels = self._reader.channels
        self.n_samples = self._reader.n_samples
        self.truncation = self._reader.truncation

    @property
    def notes(self) -> Notes:
        return self._reader.notes

    def _copy(self, path: Path, begin: int, end: int) -> None:
        with path.open("rb") as source, open(self._descriptor, "wb", closefd=False) as target:
            source.seek(begin)
            for start in range(begin, end, COPY_BYTES):
                target.write(source.read(min(COPY_BYTES, end - start)))

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio."""
        return self._reader.read(start, count)

    def close(self) -> None:
        self._reader.close()
        os.close(self._descriptor)
