"""Level of a signal: what is audible, what is silent, and where the nearest audible window is.

The wrong rules were "a sample that is not zero is sound" (a constant offset, or a tone above what
the model takes, is none) and "the middle of the audio is where its sound is".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from models.audio.joined import AudioReader
from models.audio.length import Notes
from models.audio.window_choice import Samples
from models.card import AudioInput
from models.errors import CorruptAudio, NotFinite, OutOfRange, SilentAudio

# -80 dBFS: below, a 16-bit recording holds only dither.
SILENCE_PEAK = 1e-4
# Masters in floating point exceed full scale by some decibels, by 18 dB at most. Beyond are
# samples of another scale, as integers in floating point.
MAX_PEAK = 8.0
# Of 32-bit integers; what is larger is no scale, and damage.
MAX_SCALE = 2.0**32
# Searched for sound on both sides of a silent middle: a second of it takes a millisecond.
MAX_REACH_S = 900.0
# Share of the samples; where more are beyond it, they are of another scale.
MAX_CLIPPED = 0.5
FLOAT_CODECS = {"float", "double"}


@dataclass(frozen=True)
class Level:
    """Lowest and highest sample of a stretch of audio."""

    low: float
    high: float

    @classmethod
    def of(cls, mono: Samples) -> Level:
        """The level of finite samples.

        Raises
        ------
        NotFinite
            Also where the resampler overflowed on samples near the largest float32.
        """
        # If any sample is NaN, so are the minimum and the maximum.
        level = cls(float(mono.min()), float(mono.max()))
        if not (math.isfinite(level.low) and math.isfinite(level.high)):
            raise NotFinite("the audio has samples that are NaN, infinite or far too large")
        return level

    @property
    def peak(self) -> float:
        """Half of the difference: a constant offset is inaudible."""
        return (self.high - self.low) / 2

    def check_range(self, codec: str, mono: Samples) -> None:
        """Check that samples in floating point, of this level, are of the scale [-1, 1].

        A few that are beyond every scale are damage, and clipped.

        Raises
        ------
        OutOfRange
        """
        largest = max(-self.low, self.high)
        if codec not in FLOAT_CODECS or largest <= MAX_PEAK:
            return
        if largest < MAX_SCALE or np.mean(np.abs(mono) > MAX_PEAK) > MAX_CLIPPED:
            raise OutOfRange(
                f"the samples in floating point reach from {self.low:g} to {self.high:g}, their "
                "range is [-1, 1]",
                value=largest,
                limit=1,
            )


def check_finite(*stretches: Samples) -> None:
    """Check what is read beside a window.

    Raises
    ------
    NotFinite
    """
    for mono in stretches:
        if mono.size:
            Level.of(mono)


def check_level(level: float) -> None:
    if level < SILENCE_PEAK:
        raise silent_error(level)


def silent_error(level: float) -> SilentAudio:
    return SilentAudio(
        f"what is heard of the window peaks at {level:.2g} of full scale, the minimum is "
        f"{SILENCE_PEAK:g}",
        value=level,
        limit=SILENCE_PEAK,
    )


def moved_note(from_s: float, to_s: float) -> Notes:
    return (
        f"the middle, at {from_s:.1f} s, is silent: the window is the nearest audible one, at "
        f"{to_s:.1f} s",
    )


def read_nearest_audible(
    reader: AudioReader,
    audio: AudioInput,
    read_window: Callable[[float], Samples],
) -> tuple[float, Samples] | None:
    """Start and samples of the audible window nearest to the middle of the audio; None if none is.

    What is damaged is passed over, and `MAX_REACH_S` on both sides of the middle searched.

    Parameters
    ----------
    read_window : the window at a start in seconds; raises SilentAudio

    Raises
    ------
    CorruptAudio
        If none is, and some of the audio is damaged.
    """
    damage: list[CorruptAudio] = []
    for starts_s in _audible_starts(reader, audio, damage):
        for start_s in starts_s:
            try:
                return start_s, read_window(start_s)
            except SilentAudio:  # what a model hears of the window: its patches
                continue
            except CorruptAudio as error:
                damage.append(error)
    if damage:
        raise damage[0]
    return None


def _audible_starts(
    reader: AudioReader, audio: AudioInput, damage: list[CorruptAudio]
) -> Iterator[list[float]]:
    """Starts of windows at the sounds next to the middle, the nearest sound first.

    Parameters
    ----------
    damage : takes the errors of blocks that cannot be decoded
    """

    def read(start: int, count: int) -> Samples:
        try:
            return reader.read(start, count)
        except CorruptAudio as error:
            damage.append(error)
            return np.zeros(0, np.float32)

    rate, middle = reader.sample_rate, reader.n_samples // 2
    block = round(audio.window_s * rate)
    max_steps = math.ceil(MAX_REACH_S / audio.window_s)
    for step in range(min(-(-middle // block) + 1, max_steps)):
        sounds: list[tuple[int, list[float]]] = []
        begin, end = middle + step * block, middle - step * block
        first = _first_sound(read(begin, block)) if begin < reader.n_samples else None
        if first is not None:
            starts_s = _starts_after(audio, (begin + first) / rate, reader.n_samples / rate)
            sounds.append((step * block + first, starts_s))
        before = max(0, end - block)
        last = _first_sound(read(before, end - before)[::-1]) if end > 0 else None
        if last is not None:
            starts_s = _starts_before(audio, (end - last) / rate, reader.n_samples / rate)
            sounds.append((step * block + last, starts_s))
        yield from (starts_s for _, starts_s in sorted(sounds))


def _starts_after(audio: AudioInput, at_s: float, duration_s: float) -> list[float]:
    """Starts of windows that hear a sound that begins there, also by one of the patches alone."""
    patches_s = [start / audio.sample_rate for start in audio.patch_starts]
    starts_s = _within(audio, duration_s, [at_s, *(at_s - patch_s for patch_s in patches_s)])
    # The rest of the audio, over which patches are spread.
    return [*starts_s, round(min(at_s, max(0.0, duration_s - audio.min_audio_s)), 6)]


def _starts_before(audio: AudioInput, at_s: float, duration_s: float) -> list[float]:
    """Starts of windows that hear a sound that ends there."""
    ends = [start + audio.patch_samples for start in reversed(audio.patch_starts)]
    ends_s = [audio.window_s, *(end / audio.sample_rate for end in ends)]
    return _within(audio, duration_s, [at_s - end_s for end_s in ends_s])


def _within(audio: AudioInput, duration_s: float, starts_s: list[float]) -> list[float]:
    """The starts moved into the audio, to microseconds, as answers state them."""
    last_s = max(0.0, duration_s - audio.window_s)
    return [round(min(max(0.0, start_s), last_s), 6) for start_s in starts_s]


def _first_sound(mono: Samples) -> int | None:
    """The first sample that is audibly away from the one at the start; None if all is silent."""
    if not mono.size or Level.of(mono).peak < SILENCE_PEAK:
        return None
    return int(np.argmax(np.abs(mono - mono[0]) >= SILENCE_PEAK))
