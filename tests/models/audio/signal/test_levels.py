"""What cannot be heard is silence, and the default window is where something can be heard."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from models.audio.window_choice import WindowChoice
from models.audio.windows import Windows, read_windows
from models.card import AudioInput, Patches
from models.errors import NotFinite, OutOfRange, SilentAudio
from tests.sounds import Sound, golden, write

RATE = 8_000
AUDIO = AudioInput(sample_rate=RATE, window_s=6, short_audio="repeat", min_audio_s=0.5)
PATCHED = AUDIO.model_copy(update={"patches": Patches(seconds=0.5, starts_s=(0.5, 2.5, 4.5))})


def music(seconds: float, seed: int = 0) -> Sound:
    return golden(seconds, RATE, 1, seed)


def silence(seconds: float) -> Sound:
    return np.zeros((round(seconds * RATE), 1), np.float32)


def read(path: Path, *parts: Sound, window: str = "middle", audio: AudioInput = AUDIO) -> Windows:
    write(path, np.concatenate(parts), RATE)
    return read_windows(path, audio, WindowChoice.parse(window))


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "m4a"])
def test_a_silent_middle_gives_way_to_the_nearest_sound(tmp_path: Path, kind: str) -> None:
    """A hidden track: the end of the first one is nearer to the middle than the second one."""
    path = tmp_path / f"x.{kind}"
    windows = read(path, music(20), silence(60), music(10, seed=1))
    assert windows.is_moved
    assert windows.starts_s[0] == pytest.approx(14, abs=0.3)
    at = read_windows(path, AUDIO, WindowChoice.parse(repr(windows.starts_s[0])))
    assert np.array_equal(at.samples, windows.samples)
    (note,) = windows.info.notes
    assert re.match(r"the middle, at 42\.\d s, is silent: .* audible one, at 1[34]\.\d s", note)


def test_the_next_sound_counts_if_it_is_nearer(tmp_path: Path) -> None:
    windows = read(tmp_path / "x.wav", music(10), silence(60), music(20, seed=1))
    assert windows.starts_s[0] == pytest.approx(70, abs=0.01)
    late = read(tmp_path / "y.wav", silence(60), music(2, seed=1))
    assert late.starts_s[0] == pytest.approx(56, abs=0.01)  # ends with the audio
    early = read(tmp_path / "z.wav", music(2, seed=1), silence(60))
    assert early.starts_s[0] == 0


def test_an_audible_middle_stays(tmp_path: Path) -> None:
    windows = read(tmp_path / "x.wav", silence(20), music(10), silence(20))
    assert (windows.starts_s, windows.is_moved, windows.info.notes) == ((22.0,), False, ())


@pytest.mark.parametrize("window", ["start", "25", "1:10", "-5"])
def test_a_window_that_was_asked_for_is_not_moved(tmp_path: Path, window: str) -> None:
    with pytest.raises(SilentAudio):
        read(tmp_path / "x.wav", silence(40), music(10), silence(40), window=window)


def test_audio_without_any_sound_is_silent(tmp_path: Path) -> None:
    for seconds in (1.0, 30.0):
        with pytest.raises(SilentAudio):
            read(tmp_path / "x.wav", silence(seconds))


@pytest.mark.parametrize(
    ("before_s", "sound_s", "after_s"),
    [(40, 1.0, 20), (20, 1.0, 40), (60, 1.0, 0), (0, 1.0, 60), (21, 20, 60), (30, 0.4, 5)],
)
def test_a_model_that_hears_patches_hears_the_sound(
    tmp_path: Path, before_s: float, sound_s: float, after_s: float
) -> None:
    parts = silence(before_s), music(sound_s), silence(after_s)
    windows = read(tmp_path / "x.wav", *parts, audio=PATCHED)
    assert np.ptp(windows.samples) > 0.05


def test_a_short_sound_between_patches_is_heard(tmp_path: Path) -> None:
    parts = silence(20 + 1.2), music(0.5), silence(24 - 1.7 + 0.5)
    windows = read(tmp_path / "x.wav", *parts, audio=PATCHED)
    assert np.ptp(windows.samples) > 0.05
    assert abs(windows.starts_s[0] - 19) < 6


@pytest.mark.parametrize("offset", [0.05, -0.3, 1.0])
def test_a_constant_offset_is_silence(tmp_path: Path, offset: float) -> None:
    flat: Sound = np.full((10 * RATE, 1), offset, np.float32)
    with pytest.raises(SilentAudio) as silent:
        read(tmp_path / "x.wav", flat)
    assert silent.value.value == pytest.approx(0, abs=1e-4)
    sound: Sound = np.asarray(music(10) / 4 + 0.3, np.float32)
    rest: Sound = np.full((60 * RATE, 1), 0.3, np.float32)
    windows = read(tmp_path / "y.wav", sound, rest)
    assert windows.starts_s[0] == pytest.approx(4, abs=0.01)


def test_a_tone_beyond_what_the_model_takes_is_silence(tmp_path: Path) -> None:
    t = np.arange(96_000 * 8) / 96_000
    tone = 0.5 * np.sin(2 * np.pi * 30_000 * t) * np.hanning(t.size)  # without clicks
    path = write(tmp_path / "x.wav", tone.astype(np.float32)[:, None], 96_000, "FLOAT")
    with pytest.raises(SilentAudio):
        read_windows(path, AUDIO, WindowChoice())


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("scale", [100, 32_767, 8_388_607])
def test_integers_in_floating_point_are_refused_with_their_range(
    tmp_path: Path, subtype: str, scale: float
) -> None:
    sound = music(8)
    path = write(tmp_path / "x.wav", sound / np.abs(sound).max() * scale, RATE, subtype)
    with pytest.raises(OutOfRange, match=r"their range is \[-1, 1\]") as refused:
        read_windows(path, AUDIO, WindowChoice())
    assert refused.value.value == pytest.approx(scale, rel=0.5)
    assert "divide" in refused.value.remedy


def test_a_master_that_exceeds_full_scale_is_clipped(tmp_path: Path) -> None:
    sound = music(8)
    path = write(tmp_path / "x.wav", sound / np.abs(sound).max() * 4, RATE, "FLOAT")
    assert np.abs(read_windows(path, AUDIO, WindowChoice()).samples).max() == 1


def test_what_overflows_is_not_finite(tmp_path: Path) -> None:
    sound = music(8)
    sound[4 * RATE : 5 * RATE] = 3e38 * np.resize([1, -1], (RATE, 1))
    path = write(tmp_path / "x.wav", sound, RATE, "FLOAT")
    audio = AUDIO.model_copy(update={"sample_rate": 16_000})
    with pytest.raises(NotFinite):
        read_windows(path, audio, WindowChoice())
