"""Joined recordings: one file of several complete files (`cat a.mp3 b.mp3`), read as one.

Players play such files from end to end, and recordings of internet radio are made like this: a
chained Ogg file has a link for each song. Decoders that believe a header take the first piece for
the file. Pieces of another sample rate are resampled to the highest one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import soxr

from models.audio.length import Notes
from models.audio.signal.mixing import IN_PHASE
from models.audio.window_choice import Samples
from models.errors import TruncatedAudio

# Read on both sides of a part of a piece, so that the resampler's edge effects fall outside of it.
MARGIN_S = 0.02
MAX_PIECE_NOTES = 3


class AudioReader(Protocol):
    """Interface of an open audio file; `n_samples` and `read` count samples at the file's rate.

    Attributes
    ----------
    notes : what the file states otherwise than it is, in sentences
    truncation : the error if the file ends before its stated length; the audio of `n_samples` is
        there
    """

    codec: str
    sample_rate: int
    channels: int
    n_samples: int
    truncation: TruncatedAudio | None

    @property
    def notes(self) -> Notes: ...

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Piece:
    """One recording of a joined file; `open` opens its reader."""

    codec: str
    sample_rate: int
    channels: int
    n_samples: int
    truncation: TruncatedAudio | None
    notes: Notes
    open: Callable[[], AudioReader]

    @classmethod
    def of(cls, reader: AudioReader, open_again: Callable[[], AudioReader]) -> Piece:
        return cls(
            codec=reader.codec,
            sample_rate=reader.sample_rate,
            channels=reader.channels,
            n_samples=reader.n_samples,
            truncation=reader.truncation,
            notes=reader.notes,
            open=open_again,
        )

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate


def _piece_notes(pieces: Sequence[Piece]) -> Notes:
    """What each piece states otherwise than it is, and which earlier ones are cut."""
    notes: list[str] = []
    for number, piece in enumerate(pieces, 1):
        is_cut = piece.truncation and piece is not pieces[-1]
        cut = (f"is cut, {piece.truncation.detail}",) if is_cut and piece.truncation else ()
        notes += [f"recording {number}: {note}" for note in (*piece.notes, *cut)]
    n_more = len(notes) - MAX_PIECE_NOTES
    more = (f"{n_more} more such notes on its recordings",) if n_more > 0 else ()
    return (*notes[:MAX_PIECE_NOTES], *more)


class JoinedReader:
    """Reader of pieces one after another; at most one piece is open at a time."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._open: tuple[Piece, AudioReader] | None = None
        longest = max(pieces, key=lambda piece: piece.duration_s)
        self.codec, self.channels = longest.codec, longest.channels
        self.sample_rate = max(piece.sample_rate for piece in pieces)
        lengths = [round(piece.duration_s * self.sample_rate) for piece in pieces]
        # The end of each piece, in samples from the start of the file.
        self._ends: list[int] = np.cumsum(lengths).tolist()
        self.n_samples = self._ends[-1]
        # Of an earlier piece the end is lost, and the audio of the file goes on.
        self.truncation = pieces[-1].truncation
        first_s, all_s = pieces[0].duration_s, self.n_samples / self.sample_rate
        self.notes: Notes = (
            f"the file is {len(pieces)} recordings one after another, read as one: the first lasts "
            f"{first_s:.1f} s, all last {all_s:.1f} s",
            *_piece_notes(pieces),
        )

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio."""
        count = min(count, self.n_samples - start)
        parts = [np.zeros(0, np.float32)]
        for piece, begin, end in self._parts(start, start + count):
            part = self._read_piece(piece, begin, end)
            # By rounding of its length, a piece may be a sample short.
            parts.append(np.pad(part, (0, end - begin - part.size)))
        return np.concatenate(parts)

    def _parts(self, start: int, end: int) -> Iterator[tuple[Piece, int, int]]:
        """The pieces that samples [start, end) are in, and the samples of each piece."""
        piece_start = 0
        for piece, piece_end in zip(self._pieces, self._ends, strict=True):
            begin, until = max(start, piece_start), min(end, piece_end)
            if begin < until:
                yield piece, begin - piece_start, until - piece_start
            piece_start = piece_end

    def _read_piece(self, piece: Piece, begin: int, end: int) -> Samples:
        """Samples [begin, end) of a piece, at the rate of the joined file."""
        reader = self._reader_of(piece)
        if piece.sample_rate == self.sample_rate:
            samples = reader.read(begin, end - begin)
            self._add_notes(reader)
            return samples
        # A sample of the piece and a resampled one fall together every `step` samples of the piece.
        divisor = math.gcd(piece.sample_rate, self.sample_rate)
        step, resampled_step = piece.sample_rate // divisor, self.sample_rate // divisor
        n_steps = max(0, begin - math.ceil(MARGIN_S * self.sample_rate)) // resampled_step
        until = -(-end * step // resampled_step) + math.ceil(MARGIN_S * piece.sample_rate)
        samples = reader.read(n_steps * step, until - n_steps * step)
        self._add_notes(reader)
        resampled = soxr.resample(samples, piece.sample_rate, self.sample_rate, quality="HQ")
        skip = begin - n_steps * resampled_step
        return np.asarray(resampled[skip : skip + end - begin], np.float32)

    def _add_notes(self, reader: AudioReader) -> None:
        """Add the notes of a piece that hold for the whole window."""
        if IN_PHASE in reader.notes and IN_PHASE not in self.notes:
            self.notes = (*self.notes, IN_PHASE)

    def _reader_of(self, piece: Piece) -> AudioReader:
        if self._open is None or self._open[0] is not piece:
            self.close()
            self._open = (piece, piece.open())
        return self._open[1]

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
