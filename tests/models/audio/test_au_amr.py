"""AU and raw AMR: read to the end, whatever a header states, and refused where they are cut."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.audio.window_choice import WindowChoice
from models.audio.windows import open_audio, read_windows
from models.errors import TruncatedAudio
from tests.bundles import AUDIO
from tests.sounds import golden, write_av

RATE, SECONDS = 22_050, 6
SIZE_AT = slice(8, 12)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "a.au"
    soundfile.write(path, golden(SECONDS, RATE, 1), RATE, subtype="PCM_16")
    return path


def stating(content: bytes, size: int) -> bytes:
    return content[: SIZE_AT.start] + struct.pack(">I", size) + content[SIZE_AT.stop :]


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW", "ALAW", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("endian", ["BIG", "LITTLE"])
def test_au_is_what_wav_is(tmp_path: Path, subtype: str, endian: str) -> None:
    stereo = golden(SECONDS, RATE)
    soundfile.write(tmp_path / "a.au", stereo, RATE, subtype=subtype, endian=endian)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype=subtype)
    au, wav = (
        read_windows(tmp_path / name, AUDIO, WindowChoice()).samples for name in ("a.au", "a.wav")
    )
    np.testing.assert_array_equal(au, wav)


def test_au_of_an_unknown_size_is_whole(sound: Path) -> None:
    sound.write_bytes(stating(sound.read_bytes(), 0xFFFF_FFFF))
    reader = open_audio(sound)
    assert (reader.n_samples, reader.notes) == (SECONDS * RATE, ())


def test_au_that_states_too_little_is_read_to_the_end_with_a_note(sound: Path) -> None:
    expected = open_audio(sound).read(0, SECONDS * RATE)
    sound.write_bytes(stating(sound.read_bytes(), RATE * 2))
    reader = open_audio(sound)
    assert reader.n_samples == SECONDS * RATE
    assert reader.notes == ("the header promises 1.0 s, the file holds 6.0 s",)
    np.testing.assert_array_equal(reader.read(0, SECONDS * RATE), expected)


def test_au_that_is_cut_is_truncated(sound: Path) -> None:
    content = sound.read_bytes()
    sound.write_bytes(content[: len(content) // 2])
    with pytest.raises(TruncatedAudio, match="the header states 264600 bytes"):
        read_windows(sound, AUDIO, WindowChoice())


@pytest.mark.parametrize("endian", ["BIG", "LITTLE"])
def test_joined_au_is_one_recording(tmp_path: Path, endian: str) -> None:
    path = tmp_path / "a.au"
    soundfile.write(path, golden(SECONDS, RATE, 1), RATE, subtype="PCM_16", endian=endian)
    one = open_audio(path).read(0, SECONDS * RATE)
    path.write_bytes(2 * path.read_bytes())
    reader = open_audio(path)
    assert reader.n_samples == 2 * SECONDS * RATE
    np.testing.assert_array_equal(reader.read(SECONDS * RATE, SECONDS * RATE), one)


def test_raw_amr_is_what_the_same_frames_in_3gp_are(tmp_path: Path) -> None:
    speech = golden(SECONDS, 8_000, 1)
    for container in ("amr", "3gp"):
        path = tmp_path / f"a.{container}"
        write_av(path, speech, 8_000, "libopencore_amrnb", container, bit_rate=12_200)
    raw, boxed = (open_audio(tmp_path / name) for name in ("a.amr", "a.3gp"))
    assert raw.n_samples == pytest.approx(SECONDS * 8_000, abs=400)
    assert (raw.codec, raw.notes) == (boxed.codec, ())
    n_samples = min(raw.n_samples, boxed.n_samples)
    np.testing.assert_array_equal(raw.read(0, n_samples), boxed.read(0, n_samples))


def test_amr_of_changing_bit_rates_is_as_long_as_its_frames(tmp_path: Path) -> None:
    parts = []
    for bit_rate in (4_750, 12_200):
        path = tmp_path / f"{bit_rate}.amr"
        write_av(path, golden(3, 8_000, 1), 8_000, "libopencore_amrnb", "amr", bit_rate=bit_rate)
        parts.append(path.read_bytes())
    path.write_bytes(parts[0] + parts[1].removeprefix(b"#!AMR\n"))
    assert open_audio(path).n_samples == pytest.approx(6 * 8_000, abs=800)
