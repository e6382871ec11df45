"""Window selection: start times of the chosen windows."""

from __future__ import annotations

import numpy as np
import pytest

from models.audio.window_choice import WindowChoice, repeat_to_length, window_starts
from models.card import AudioInput
from models.errors import AudioTooLong, AudioTooShort, WindowOutside

AUDIO = AudioInput(sample_rate=16_000, window_s=30, short_audio="repeat", min_audio_s=0.5)


def starts(text: str, duration_s: float) -> tuple[float, ...]:
    return window_starts(WindowChoice.parse(text), duration_s, AUDIO, max_windows=60)


@pytest.mark.parametrize(
    ("window", "duration_s", "expected"),
    [
        ("middle", 240, (105,)),
        ("middle", 20, (0,)),
        ("start", 240, (0,)),
        ("12.5", 240, (12.5,)),
        ("239", 240, (239,)),
        ("1:30", 240, (90,)),
        ("00:01:30.25", 240, (90.25,)),
        ("-30", 240, (210,)),
        ("-2:00", 240, (120,)),
        ("-0.5", 240, (239.5,)),
        ("-240", 240, (0,)),
        ("all", 90, (0, 30, 60)),
        ("all", 100, (0, 30, 60)),  # a rest under half a window is left out
        ("all", 110, (0, 30, 60, 80)),  # a longer remainder has a window that ends with the audio
        ("all", 10, (0,)),
    ],
)
def test_windows_start_as_chosen(
    window: str, duration_s: float, expected: tuple[float, ...]
) -> None:
    assert starts(window, duration_s) == expected


@pytest.mark.parametrize(
    "text", ["", "end", "--1", "1e3", "nan", "inf", "1,5", "٣", "9" * 9, "1:60", "1:2", ":30"]
)
def test_other_choices_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="window must be"):
        WindowChoice.parse(text)


def test_limits_name_value_and_limit() -> None:
    with pytest.raises(AudioTooShort) as short:
        starts("middle", 0.2)
    assert (short.value.value, short.value.limit) == (0.2, 0.5)
    with pytest.raises(AudioTooLong) as long:
        starts("all", 3600)
    assert (long.value.value, long.value.limit) == (120, 60)
    for window in ("240", "4:00", "-240.5", "-0", "-0.4"):
        with pytest.raises(WindowOutside):
            starts(window, 240)


def test_offsets_that_differ_are_told_apart() -> None:
    assert str(WindowChoice.parse("1234.56789")) != str(WindowChoice.parse("1234.5679"))
    assert WindowChoice.parse("-30").text != WindowChoice.parse("30").text
    assert WindowChoice.parse("1:30").text == WindowChoice.parse("90").text
    for text in ("-30", "1:30", "-1:02:03.5", "12.5", "middle"):
        choice = WindowChoice.parse(text)
        assert WindowChoice.parse(choice.text) == choice


def test_short_audio_is_repeated() -> None:
    samples = np.arange(3, dtype=np.float32)
    assert repeat_to_length(samples, 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert repeat_to_length(samples, 2).tolist() == [0, 1]
