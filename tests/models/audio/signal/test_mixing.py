"""Channels that cancel are mixed down in phase; all other audio is mixed as before, bit for bit."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.audio.signal.mixing import IN_PHASE, Mix, MixingReader
from models.audio.window_choice import WindowChoice
from models.audio.windows import open_audio, read_windows
from models.card import AudioInput
from tests.running import ROOT
from tests.sounds import FORMATS, SAMPLE_RATE, Sound, golden, write, write_surround

AUDIO = AudioInput(sample_rate=16_000, window_s=6, short_audio="repeat", min_audio_s=0.5)
EXAMPLES = sorted((ROOT / "examples").glob("*.mp3"))


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def plain_mean(path: Path) -> np.ndarray:
    with closing(open_audio(path)) as reader:
        mixing: MixingReader = reader  # type: ignore[assignment]
        return mixing.read_mixed(0, reader.n_samples, None)


def in_phase(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    with closing(open_audio(path)) as reader:
        return reader.read(0, reader.n_samples), reader.notes


def reversed_polarity(sound: Sound, gain: float = -1.0) -> Sound:
    return np.stack([sound[:, 0], gain * sound[:, 0]], 1)


def wide(seed: int = 3) -> Sound:
    """Channels that share some of their sound, and are otherwise independent or opposite."""
    middle, sides = golden(3.0, channels=1, seed=seed), golden(3.0, channels=1, seed=seed + 1)
    other = golden(3.0, channels=1, seed=seed + 2)
    channels = [middle + sides, 0.6 * middle - sides + 0.5 * other]
    return np.asarray(np.concatenate(channels, 1) / 3, np.float32)


@pytest.mark.parametrize("kind", FORMATS)
def test_ordinary_stereo_is_mixed_as_before_to_the_last_bit(tmp_path: Path, kind: str) -> None:
    left = golden(3.0) * np.array([1, 0], np.float32)
    for name, sound in {"golden": golden(3.0), "wide": wide(), "left": left}.items():
        path = write(tmp_path / f"{name}.{kind}", sound)
        mono, notes = in_phase(path)
        assert np.array_equal(mono, plain_mean(path)), name
        assert IN_PHASE not in notes


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_shipped_examples_are_mixed_as_before_to_the_last_bit(path: Path) -> None:
    mono, notes = in_phase(path)
    assert np.array_equal(mono, plain_mean(path))
    assert not notes


@pytest.mark.parametrize("kind", FORMATS)
def test_a_channel_of_reversed_polarity_does_not_cancel_the_other(
    tmp_path: Path, kind: str
) -> None:
    sound = golden(6.0)
    path = write(tmp_path / f"reversed.{kind}", reversed_polarity(sound))
    one = write(tmp_path / f"one.{kind}", sound[:, :1])
    mono, notes = in_phase(path)
    heard = read_windows(path, AUDIO, WindowChoice())
    alone = read_windows(one, AUDIO, WindowChoice())
    assert cosine(heard.samples[0], alone.samples[0]) > 0.99
    assert notes == heard.info.notes == (IN_PHASE,)
    assert np.abs(mono).max() > 0.5 * np.abs(sound[:, 0]).max()


@pytest.mark.parametrize("gain", [-1.0, -0.9, -1.2])
def test_reversed_polarity_at_another_level_is_found(tmp_path: Path, gain: float) -> None:
    sound = np.asarray(golden(3.0) / 2, np.float32)
    noise = np.random.default_rng(0).normal(0, 0.003, (len(sound), 2)).astype(np.float32)
    path = write(tmp_path / "x.wav", reversed_polarity(sound, gain) + noise, subtype="FLOAT")
    mono, _ = in_phase(path)
    assert cosine(mono, sound[:, 0]) > 0.99


def test_a_constant_offset_does_not_count_as_a_signal(tmp_path: Path) -> None:
    sound = np.asarray(golden(3.0) / 4, np.float32) + np.array([0.5, -0.5], np.float32)
    path = write(tmp_path / "x.wav", sound)
    mono, notes = in_phase(path)
    assert np.array_equal(mono, plain_mean(path))
    assert not notes


@pytest.mark.parametrize(
    ("codec", "container", "name"), [("libopus", "ogg", "x.opus"), ("flac", "flac", "x.flac")]
)
def test_eight_channels_that_cancel_are_mixed_in_phase(
    tmp_path: Path, codec: str, container: str, name: str
) -> None:
    one = golden(3.0, 48_000, 1)
    sound = one * np.array([0.5, -0.5] * 4, np.float32)
    path = write_surround(tmp_path / name, sound, codec, container)
    with closing(open_audio(path)) as reader:
        mono = reader.read(0, len(one))
        assert reader.notes == (IN_PHASE,)
    assert cosine(mono[: len(one)], one[: mono.size, 0]) > 0.9


def test_two_pairs_that_cancel_keep_the_louder_one() -> None:
    first, second = golden(1.0, channels=1)[:, 0], golden(1.0, channels=1, seed=1)[:, 0] / 4
    planes: list[NDArray[Any]] = [first, -first, second, -second]
    mix = Mix()
    mix.observe(planes)
    signed = mix.in_phase()
    assert signed is not None
    assert cosine(signed.apply(planes), first) > 0.9


def test_silence_and_single_channels_have_no_phase() -> None:
    for planes in ([np.zeros(1000, np.float32)] * 2, [golden(1.0, channels=1)[:, 0]]):
        mix = Mix()
        mix.observe(planes)
        assert mix.in_phase() is None


def test_parts_of_a_window_are_judged_together() -> None:
    """A passage in which the channels cancel does not change the polarity within a window."""
    random = np.random.default_rng(1)
    quiet, loud = random.normal(0, 0.1, 30_000), random.normal(0, 0.5, 30_000)
    together = Mix()
    together.observe([loud, loud])
    together.observe([quiet, -quiet])
    assert together.in_phase() is None
    alone = Mix()
    alone.observe([quiet, -quiet])
    assert alone.in_phase() is not None


def test_a_piece_of_a_joined_file_that_cancels_is_noted(tmp_path: Path) -> None:
    sound = golden(4.0)
    first = write(tmp_path / "a.mp3", sound).read_bytes()
    second = write(tmp_path / "b.mp3", reversed_polarity(sound)).read_bytes()
    path = tmp_path / "joined.mp3"
    path.write_bytes(first + second)
    with closing(open_audio(path)) as reader:
        begin = round(4.5 * SAMPLE_RATE)
        mono = reader.read(begin, 3 * SAMPLE_RATE)
        assert np.abs(mono).max() > 0.2
