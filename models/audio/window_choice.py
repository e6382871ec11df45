"""Window selection: `middle`, `start`, `all` or an offset -> start times of the windows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.card import AudioInput
from models.errors import AudioTooLong, AudioTooShort, WindowOutside

Samples = NDArray[np.float32]
Mode = Literal["middle", "start", "all", "offset"]
NAMED: dict[str, Mode] = {"middle": "middle", "start": "start", "all": "all"}
# Seconds, minutes and seconds, or hours, minutes and seconds; with a sign, before the end.
OFFSET = r"-?([0-9]{1,6}|[0-9]{1,4}:[0-5][0-9]|[0-9]{1,3}:[0-5][0-9]:[0-5][0-9])(\.[0-9]{1,6})?"


@dataclass(frozen=True)
class WindowChoice:
    """Window selection: the middle, the start, all consecutive windows, or one at an offset.

    Attributes
    ----------
    from_end : whether `offset_s` counts back from the end of the audio
    """

    mode: Mode = "middle"
    offset_s: float = 0.0
    from_end: bool = False

    @classmethod
    @lru_cache(128)  # most requests choose one of a few windows
    def parse(cls, text: str) -> WindowChoice:
        """Parse `middle`, `start`, `all` or an offset; `ValueError` for anything else."""
        if mode := NAMED.get(text):
            return cls(mode)
        if not re.fullmatch(OFFSET, text, re.ASCII):
            raise ValueError(
                f"window must be middle, start, all or an offset (90, 1:30, or -30 from the end), "
                f"not {text!r}"
            )
        offset_s = 0.0
        for part in text.removeprefix("-").split(":"):
            offset_s = 60 * offset_s + float(part)
        return cls("offset", offset_s, text.startswith("-"))

    @cached_property
    def text(self) -> str:
        """The text that `parse` parses to this choice; equal choices have the same text."""
        # All digits: with `:g`, which keeps six, two offsets could share a cache key.
        sign = "-" * self.from_end
        return f"{sign}{self.offset_s!r}" if self.mode == "offset" else self.mode


def window_starts(
    choice: WindowChoice, duration_s: float, audio: AudioInput, max_windows: int
) -> tuple[float, ...]:
    """Start of each chosen window in seconds; several windows only for `all`.

    Audio that is not longer than a window has one window, at 0. For `all`, a remainder shorter than
    half a window is left out, and a longer remainder is covered by a window that ends with the
    audio.

    Raises
    ------
    AudioTooShort, AudioTooLong, WindowOutside
    """
    if duration_s < audio.min_audio_s:
        raise AudioTooShort(
            f"the audio lasts {duration_s:.4g} s, the minimum is {audio.min_audio_s:g} s",
            value=duration_s,
            limit=audio.min_audio_s,
        )
    last = max(0.0, duration_s - audio.window_s)
    if choice.mode == "offset":
        return (_offset_start(choice, duration_s, audio.min_audio_s),)
    if choice.mode == "start":
        return (0.0,)
    if choice.mode == "middle":
        return (last / 2,)
    whole, rest = divmod(duration_s, audio.window_s)
    count = max(1, int(whole) + (rest >= audio.window_s / 2))
    if count > max_windows:
        raise AudioTooLong(
            f"the audio has {count} windows, the maximum is {max_windows}",
            value=count,
            limit=max_windows,
        )
    return tuple(min(index * audio.window_s, last) for index in range(count))


def _offset_start(choice: WindowChoice, duration_s: float, min_audio_s: float) -> float:
    offset_s = choice.offset_s
    if choice.from_end:
        if offset_s > duration_s:
            raise WindowOutside(
                f"offset {choice.text} s lies before the start of {duration_s:.4g} s of audio",
                value=-offset_s,
                limit=-duration_s,
                remedy="ask for an offset after the start of the audio",
            )
        offset_s = duration_s - offset_s
    if offset_s > max(0.0, duration_s - min_audio_s):
        raise WindowOutside(
            f"offset {choice.text} s leaves too little of {duration_s:.4g} s of audio",
            value=choice.offset_s,
            limit=duration_s,
        )
    return offset_s


def repeat_to_length(samples: Samples, length: int) -> Samples:
    """Repeat short audio from its start until it fills the window.

    Parameters
    ----------
    samples : float32, shape (n,) with n ≥ 1; returned as shape (length,)
    """
    if samples.size >= length:
        return samples[:length]
    return np.tile(samples, math.ceil(length / samples.size))[:length]
