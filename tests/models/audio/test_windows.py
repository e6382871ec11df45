"""Every format is read at the right position, sample rate and level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import open_audio, read_windows
from models.card import AudioInput
from models.errors import (
    NoAudioStream,
    NotAudio,
    NotFinite,
    SilentAudio,
    TruncatedAudio,
    UnsupportedLayout,
)
from tests.sounds import FORMATS, golden, write, write_av, write_surround

AUDIO = AudioInput(sample_rate=16_000, window_s=2, short_audio="repeat", min_audio_s=0.5)
RATE = 44_100
# Real files, where the project lies beside them.
ORIGINALS = Path(__file__).parents[4] / "shared" / "data" / "originals"


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ten seconds of a soft chord with a burst at 5 s, in every format."""
    folder = tmp_path_factory.mktemp("clicks")
    sound = 0.3 * golden(10)
    sound[5 * RATE : 5 * RATE + RATE // 20] += 0.5 * np.sin(np.arange(RATE // 20) / 3)[:, None]
    return {kind: write(folder / f"clicks.{kind}", sound) for kind in FORMATS}


def onset_s(window: Samples) -> float:
    return int(np.argmax(np.abs(window) > 0.35)) / 16_000


@pytest.mark.parametrize("kind", FORMATS)
def test_a_seek_lands_within_ten_milliseconds(clicks: dict[str, Path], kind: str) -> None:
    # From the start nothing is sought; an encoder's own delay is in there too.
    whole = AUDIO.model_copy(update={"window_s": 10.0})
    burst_s = onset_s(read_windows(clicks[kind], whole, WindowChoice("start")).samples[0])
    assert burst_s == pytest.approx(5, abs=0.03)
    for offset in ("4.123", "4.5"):
        window = read_windows(clicks[kind], AUDIO, WindowChoice.parse(offset)).samples[0]
        assert float(offset) + onset_s(window) == pytest.approx(burst_s, abs=0.010)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_window_is_the_same_as_cut_from_the_whole(clicks: dict[str, Path], kind: str) -> None:
    whole = AUDIO.model_copy(update={"window_s": 10.0})
    everything = read_windows(clicks[kind], whole, WindowChoice("start")).samples[0]
    middle = read_windows(clicks[kind], AUDIO, WindowChoice.parse("4.5")).samples[0]
    cut = everything[int(4.5 * 16_000) :][: middle.size]
    assert np.corrcoef(cut, middle)[0, 1] > 0.995


@pytest.mark.parametrize("kind", FORMATS)
def test_the_facts_of_a_file_are_stated(clicks: dict[str, Path], kind: str) -> None:
    info = read_windows(clicks[kind], AUDIO, WindowChoice()).info
    assert info.channels == 2
    assert info.sample_rate == (48_000 if kind in {"opus", "webm"} else RATE)
    assert info.duration_s == pytest.approx(10, abs=0.1)
    assert info.codec


@pytest.mark.parametrize("sample_rate", [4_000, 8_000, 11_025, 16_000, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_any_rate_and_channel_count_is_mixed_down(
    tmp_path: Path, sample_rate: int, channels: int
) -> None:
    seconds = np.arange(3 * sample_rate) / sample_rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * seconds, dtype=np.float32)
    levels = np.linspace(1, 0.5, channels, dtype=np.float32)
    path = write(tmp_path / "tone.wav", np.outer(tone, levels).astype(np.float32), sample_rate)
    samples = read_windows(path, AUDIO, WindowChoice()).samples[0]
    assert samples.shape == (32_000,)
    assert samples.std() == pytest.approx(0.5 / np.sqrt(2) * levels.mean(), rel=0.01)
    assert int(np.abs(np.fft.rfft(samples)).argmax()) == 880  # half-hertz bins


def test_all_windows_cover_the_audio(clicks: dict[str, Path]) -> None:
    windows = read_windows(clicks["wav"], AUDIO, WindowChoice.parse("all"))
    assert windows.starts_s == (0, 2, 4, 6, 8)
    assert windows.samples.shape == (5, 32_000)


def test_levels_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    path = write(tmp_path / "loud.wav", 20 * golden(3), subtype="FLOAT")
    assert np.abs(read_windows(path, AUDIO, WindowChoice()).samples).max() == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    sound = golden(3)
    sound[RATE] = value
    with pytest.raises(NotFinite):
        read_windows(write(tmp_path / "x.wav", sound, subtype="FLOAT"), AUDIO, WindowChoice())


def test_silence_and_odd_layouts_are_refused_with_the_limit(tmp_path: Path) -> None:
    silence = write(tmp_path / "silence.wav", np.zeros((RATE * 3, 2), np.float32))
    with pytest.raises(SilentAudio) as silent:
        read_windows(silence, AUDIO, WindowChoice())
    assert silent.value.limit == 1e-4
    with pytest.raises(UnsupportedLayout, match="1000 Hz"):
        open_audio(write(tmp_path / "slow.wav", golden(3, 1_000), 1_000))
    with pytest.raises(UnsupportedLayout, match="9 channels"):
        open_audio(write(tmp_path / "wide.wav", golden(3, 8_000, 9), 8_000))


def test_sound_beside_a_silent_window_does_not_fill_it(tmp_path: Path) -> None:
    sound = golden(6)
    sound[2 * RATE :] = 0
    path = write(tmp_path / "half.wav", sound)
    with pytest.raises(SilentAudio):
        read_windows(path, AUDIO, WindowChoice.parse("2"))
    windows = read_windows(path, AUDIO, WindowChoice.parse("all"))
    assert windows.starts_s == (0,)  # the silent ones are left out


def test_a_wav_whose_header_counts_a_little_too_much_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", golden(3))
    content = bytearray(path.read_bytes())
    content[4:8] = (len(content) - 8 + 8).to_bytes(4, "little")
    path.write_bytes(content)
    read_windows(path, AUDIO, WindowChoice())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(TruncatedAudio):
        read_windows(path, AUDIO, WindowChoice())


@pytest.mark.parametrize("container", ["VOC", "IRCAM", "NIST", "PVF"])
def test_obscure_containers_are_not_opened(tmp_path: Path, container: str) -> None:
    path = tmp_path / "x.audio"
    soundfile.write(path, golden(2, 16_000, 1), 16_000, format=container, subtype="PCM_16")
    with pytest.raises(NotAudio):
        open_audio(path)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:10,\n/etc/hostname\n",
        "ffconcat version 1.0\nfile /etc/hostname\n",
        "<?xml version='1.0'?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>",
    ],
)
def test_a_file_that_refers_to_others_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.m4a"
    path.write_text(text)
    with pytest.raises(NotAudio):
        open_audio(path)


@pytest.mark.parametrize(
    "path",
    sorted(ORIGINALS.glob("*.*"))
    or [pytest.param(None, marks=pytest.mark.skip(reason="no real files beside the project"))],
    ids=lambda path: path.name if path else "none",
)
def test_files_as_users_have_them_are_read(path: Path) -> None:
    window = AUDIO.model_copy(update={"window_s": 30.0})
    windows = read_windows(path, window, WindowChoice())
    assert windows.samples.shape == (1, 480_000)
    assert windows.info.duration_s > 5


@pytest.mark.parametrize(("codec", "container"), [("aac", "ipod"), ("libopus", "ogg")])
@pytest.mark.parametrize("channel", [0, 7])
def test_each_of_eight_channels_is_mixed_in(
    tmp_path: Path, codec: str, container: str, channel: int
) -> None:
    sound = np.zeros((4 * 48_000, 8), np.float32)
    sound[:, channel] = golden(4.0, 48_000, 1)[:, 0]
    path = write_surround(tmp_path / "surround", sound, codec, container)
    windows = read_windows(path, AUDIO, WindowChoice())
    assert windows.info.channels == 8
    assert windows.samples.std() == pytest.approx(sound[:, channel].std() / 8, rel=0.15)


def test_a_stream_of_an_unknown_codec_is_no_audio(tmp_path: Path) -> None:
    content = write_av(tmp_path / "a.caf", golden(1.0), RATE, "pcm_s16le", "caf").read_bytes()
    (tmp_path / "b.caf").write_bytes(content.replace(b"lpcm", b"none", 1))
    with pytest.raises(NoAudioStream):
        read_windows(tmp_path / "b.caf", AUDIO, WindowChoice())
