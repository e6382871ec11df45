"""Patches are what the whole window has there, and nothing beside them is read or judged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from models.audio.spans import patch_spans
from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import decode_windows, open_audio, read_windows
from models.card import AudioInput, Patches
from models.errors import AudioTooLong, CorruptAudio, NotFinite, SilentAudio
from tests.sounds import FORMATS, SAMPLE_RATE, golden, write

WINDOW = AudioInput(sample_rate=16_000, window_s=6, short_audio="repeat", min_audio_s=0.5)
PATCHES = WINDOW.model_copy(
    update={"patches": Patches(seconds=0.8, starts_s=(0.0, 1.73, 4.90001))},
)
SECONDS = 14
CHOICES = ("middle", "start", "7.7001", "all")
# Opus has converged to this after a seek; AAC fills bands with noise that is another each time.
TOLERANCES = {"opus": 1e-3, "webm": 1e-3, "m4a": 0.05}
# The level below which audio is silent.
SILENCE = 1e-4


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("patches")
    return {kind: write(folder / f"a.{kind}", golden(SECONDS)) for kind in FORMATS}


def cut(windows: Samples, audio: AudioInput = PATCHES) -> Samples:
    """The patches of whole windows; (n, window_samples) -> (n, input_samples)."""
    ends = [(start, start + audio.patch_samples) for start in audio.patch_starts]
    return np.concatenate([windows[:, start:end] for start, end in ends], axis=1)


def assert_cut_from_the_window(path: Path, audio: AudioInput = PATCHES, atol: float = 1e-5) -> None:
    """Patches of every choice of window are those of the whole window, and so are its facts."""
    without = audio.model_copy(update={"patches": None})
    for text in CHOICES:
        choice = WindowChoice.parse(text)
        whole, heard = read_windows(path, without, choice), read_windows(path, audio, choice)
        assert (heard.info, heard.starts_s) == (whole.info, whole.starts_s)
        np.testing.assert_allclose(heard.samples, cut(whole.samples, audio), atol=atol)


@pytest.mark.parametrize("kind", FORMATS)
def test_patches_equal_those_of_the_whole_window(sounds: dict[str, Path], kind: str) -> None:
    assert_cut_from_the_window(sounds[kind], atol=TOLERANCES.get(kind, 1e-6))


@pytest.mark.parametrize("sample_rate", [4_000, 8_000, 11_025, 16_000, 22_050, 44_101, 96_000])
def test_patches_have_the_sampling_instants_of_the_window_at_any_rate(
    tmp_path: Path, sample_rate: int
) -> None:
    path = write(tmp_path / "a.wav", golden(SECONDS, sample_rate), sample_rate)
    assert_cut_from_the_window(path)


def assert_spread_over(path: Path, window: str, heard_s: float) -> None:
    """Patches of a window with less audio: at the same places in it as in a whole window."""
    choice = WindowChoice.parse(window)
    whole, heard = (read_windows(path, audio, choice).samples[0] for audio in (WINDOW, PATCHES))
    n_heard, length = round(heard_s * WINDOW.sample_rate), PATCHES.patch_samples
    share = max(0, n_heard - length) / (WINDOW.window_samples - length)
    starts = [round(start * share) for start in PATCHES.patch_starts]
    expected = [whole[start : start + length] for start in starts]
    np.testing.assert_allclose(heard, np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize("seconds", [0.7, 0.9, 2.0, 5.5, 5.9, 6.0])
def test_patches_are_spread_over_short_audio(tmp_path: Path, seconds: float) -> None:
    path = write(tmp_path / "a.wav", golden(seconds, 16_000), 16_000)
    assert_spread_over(path, "start", seconds)


def test_patches_are_spread_over_what_a_window_has_of_the_audio(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", golden(SECONDS, 16_000), 16_000)
    for offset in ("9", "12.3"):
        assert_spread_over(path, offset, SECONDS - float(offset))


def test_patches_of_short_audio_hear_its_beginning_middle_and_end(tmp_path: Path) -> None:
    audio = WINDOW.model_copy(update={"patches": Patches(seconds=1.2, starts_s=(0.4, 2.4, 4.4))})
    for second in (0.2, 1.0, 1.8):  # a click in two seconds of silence
        sound = np.zeros((32_000, 1), np.float32)
        sound[round(second * 16_000)] = 0.5
        path = write(tmp_path / f"{second}.wav", sound, 16_000)
        assert np.abs(read_windows(path, audio, WindowChoice()).samples).max() > 0.1


def test_patches_that_cover_the_window_are_the_window(sounds: dict[str, Path]) -> None:
    starts_s = tuple(float(start_s) for start_s in range(6))
    touching = Patches(seconds=1, starts_s=starts_s)
    audio = WINDOW.model_copy(update={"patches": touching})
    whole, heard = (
        read_windows(sounds["mp3"], given, WindowChoice()).samples for given in (WINDOW, audio)
    )
    np.testing.assert_array_equal(heard, whole)


class Heard:
    """A reader that counts the samples that are read."""

    def __init__(self, path: Path) -> None:
        self._reader = open_audio(path)
        self.notes, self.truncation = self._reader.notes, self._reader.truncation
        self.codec, self.channels = self._reader.codec, self._reader.channels
        self.sample_rate, self.n_samples = self._reader.sample_rate, self._reader.n_samples
        self.n_read = 0

    def read(self, start: int, count: int) -> Samples:
        samples = self._reader.read(start, count)
        self.n_read += samples.size
        return samples

    def close(self) -> None:
        self._reader.close()


@pytest.mark.parametrize("seconds", [SECONDS, 5.8])  # also where only the window's end is repeated
def test_only_the_patches_and_margins_are_read(tmp_path: Path, seconds: float) -> None:
    with closing(Heard(write(tmp_path / "a.wav", golden(seconds)))) as reader:
        decode_windows(reader, PATCHES, WindowChoice("start"))
        assert reader.n_read < 3 * (0.8 + 0.05) * SAMPLE_RATE


def test_damage_beside_the_patches_is_not_an_error(tmp_path: Path) -> None:
    sound = golden(SECONDS)
    sound[int(3.5 * SAMPLE_RATE)] = np.nan
    path = write(tmp_path / "a.wav", sound, subtype="FLOAT")
    with pytest.raises(NotFinite):
        read_windows(path, WINDOW, WindowChoice("start"))
    assert np.isfinite(read_windows(path, PATCHES, WindowChoice("start")).samples).all()
    with pytest.raises(NotFinite):
        read_windows(path, PATCHES, WindowChoice.parse("1.5"))  # the second patch


def test_compressed_audio_that_is_damaged_is_refused_in_a_patch_alone(
    sounds: dict[str, Path], tmp_path: Path
) -> None:
    content = bytearray(sounds["m4a"].read_bytes())
    middle = len(content) // 2  # about 7 s
    content[middle : middle + 15_000] = np.random.default_rng(0).bytes(15_000)
    path = tmp_path / "a.m4a"
    path.write_bytes(content)
    with pytest.raises(CorruptAudio):
        read_windows(path, WINDOW, WindowChoice.parse("4"))
    read_windows(path, PATCHES, WindowChoice.parse("3.5"))  # patches end at 6.03, begin at 8.40
    with pytest.raises(CorruptAudio):
        read_windows(path, PATCHES, WindowChoice.parse("5.2"))  # the second patch


def spoilt(parts_s: list[tuple[float, float]], seconds: float) -> Iterator[Samples]:
    """A sound that is silent in those parts, and one that is silent elsewhere."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    inside = np.any([(begin <= t) & (t < end) for begin, end in parts_s], axis=0)[:, None]
    sound = golden(seconds)
    yield (sound * ~inside).astype(np.float32)
    yield (sound * inside).astype(np.float32)


@pytest.mark.parametrize("seconds", [SECONDS, 5.6])  # cut out by the reader, and from the window
def test_a_window_is_silent_if_all_its_patches_are(tmp_path: Path, seconds: float) -> None:
    share = min(1.0, (seconds - 0.8) / (6 - 0.8))
    patches = [(share * start - 0.05, share * start + 0.85) for start in (0.0, 1.73, 4.90001)]
    silent, heard = spoilt(patches, seconds)
    with pytest.raises(SilentAudio) as error:
        read_windows(write(tmp_path / "a.wav", silent), PATCHES, WindowChoice("start"))
    assert error.value.limit == SILENCE
    read_windows(write(tmp_path / "b.wav", heard), PATCHES, WindowChoice("start"))


def test_one_audible_patch_is_enough(tmp_path: Path) -> None:
    _, heard = spoilt([(1.9, 2.3)], SECONDS)
    path = write(tmp_path / "a.wav", heard)
    samples = read_windows(path, PATCHES, WindowChoice("start")).samples[0].reshape(3, -1)
    peaks = np.abs(samples).max(axis=1)
    assert peaks[1] > 0.1
    assert peaks[[0, 2]].max() < SILENCE
    assert read_windows(path, PATCHES, WindowChoice.parse("all")).starts_s == (0,)


def test_levels_beyond_full_scale_are_clipped_in_patches(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 20 * golden(SECONDS), subtype="FLOAT")
    assert np.abs(read_windows(path, PATCHES, WindowChoice()).samples).max() == 1


def test_windows_are_counted_by_their_own_length(sounds: dict[str, Path]) -> None:
    with pytest.raises(AudioTooLong):
        read_windows(sounds["wav"], PATCHES, WindowChoice("all"), max_windows=1)
    windows = read_windows(sounds["wav"], PATCHES, WindowChoice("all"), part=slice(1, 2))
    assert (windows.n_chosen, windows.starts_s) == (2, (6.0,))
    assert windows.samples.shape == (1, 3 * 12_800)


def test_spans_of_patches_lie_within_the_window_and_its_margins() -> None:
    for sample_rate in (4_000, 44_100, 44_101, 384_000):
        spans = patch_spans(PATCHES, 100.0, sample_rate, 200 * sample_rate)
        for span, start_s in zip(spans, PATCHES.patches.starts_s, strict=True):  # type: ignore[union-attr]
            heard_s = (span.start + span.heard.start) / sample_rate
            assert heard_s == pytest.approx(100 + start_s, abs=2 / PATCHES.sample_rate)
            assert span.heard.start >= 0
            assert span.heard.stop < span.count
