"""The search for the sound nearest to a silent middle: damage, and how far it reaches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.audio.joined import AudioReader
from models.audio.length import Notes
from models.audio.signal import levels
from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import decode_windows, read_windows
from models.card import AudioInput
from models.errors import CorruptAudio, OutOfRange, SilentAudio, TruncatedAudio
from tests.sounds import golden, write

RATE = 8_000
AUDIO = AudioInput(sample_rate=RATE, window_s=4, short_audio="repeat", min_audio_s=0.5)


class Damaged(AudioReader):
    """A reader of samples, of which a stretch cannot be decoded."""

    codec, sample_rate, channels = "aac", RATE, 1
    truncation: TruncatedAudio | None = None
    notes: Notes = ()

    def __init__(self, samples: Samples, from_s: float, to_s: float) -> None:
        self.n_samples, self._samples = samples.size, samples
        self._damage = round(from_s * RATE), round(to_s * RATE)

    def read(self, start: int, count: int) -> Samples:
        begin, end = self._damage
        if start < end and start + count > begin:
            raise CorruptAudio("the aac audio cannot be decoded")
        return self._samples[start : start + count]

    def close(self) -> None: ...


def with_sound(seconds: float, *sounds: tuple[float, float]) -> Samples:
    """Silence with sound from and to those seconds."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    for from_s, to_s in sounds:
        begin, end = round(from_s * RATE), round(to_s * RATE)
        samples[begin:end] = golden(to_s - from_s, RATE, 1)[:, 0]
    return samples


@pytest.mark.parametrize(
    ("sound", "damage", "start_s"), [((0, 10), (89, 99), 6), ((90, 100), (1, 11), 90)]
)
def test_damage_on_one_side_does_not_hide_the_sound_on_the_other(
    sound: tuple[float, float], damage: tuple[float, float], start_s: float
) -> None:
    reader = Damaged(with_sound(100, sound), *damage)
    found = decode_windows(reader, AUDIO, WindowChoice())
    assert found.is_moved
    assert found.starts_s[0] == pytest.approx(start_s, abs=0.1)


def test_the_nearest_window_is_passed_over_where_it_is_damaged() -> None:
    reader = Damaged(with_sound(100, (5, 10), (70, 100)), 73.5, 74)
    found = decode_windows(reader, AUDIO, WindowChoice())
    assert found.starts_s[0] == pytest.approx(78, abs=0.1)


def test_silence_beside_damage_is_damage_and_silence_alone_is_silence() -> None:
    with pytest.raises(CorruptAudio):
        decode_windows(Damaged(with_sound(100), 89, 99), AUDIO, WindowChoice())
    with pytest.raises(SilentAudio):
        decode_windows(Damaged(with_sound(100), 0, 0), AUDIO, WindowChoice())


@pytest.mark.parametrize("max_windows", [1, 2, 60])
def test_the_reach_does_not_depend_on_the_number_of_windows_that_are_answered(
    tmp_path: Path, max_windows: int
) -> None:
    path = write(tmp_path / "a.wav", with_sound(200, (0, 10))[:, None], RATE)
    found = read_windows(path, AUDIO, WindowChoice(), max_windows=max_windows)
    assert found.starts_s[0] == pytest.approx(6, abs=0.1)


def test_the_reach_is_bounded_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Damaged(with_sound(100, (0, 10)), 0, 0)
    monkeypatch.setattr(levels, "MAX_REACH_S", 30.0)
    with pytest.raises(SilentAudio):
        decode_windows(reader, AUDIO, WindowChoice())
    monkeypatch.setattr(levels, "MAX_REACH_S", 44.0)
    assert decode_windows(reader, AUDIO, WindowChoice()).is_moved


@pytest.mark.parametrize("scale", [32_767, 1e10, 1e12])
def test_floats_of_another_scale_are_refused(tmp_path: Path, scale: float) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, golden(10, RATE, 1) * np.float32(scale), RATE, subtype="FLOAT")
    with pytest.raises(OutOfRange, match="range is"):
        read_windows(path, AUDIO, WindowChoice())


def test_a_few_samples_beyond_every_scale_are_damage(tmp_path: Path) -> None:
    path, sound = tmp_path / "a.wav", golden(10, RATE, 1)
    sound[5 * RATE] = 1e12
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    assert np.abs(read_windows(path, AUDIO, WindowChoice()).samples).max() == 1
