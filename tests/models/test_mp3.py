"""MP3 files tell their length in many ways, and some do not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from models.audio import open_audio, read_windows
from models.card import AudioInput
from models.errors import TruncatedAudio
from models.mp3 import measure
from models.window import WindowChoice
from tests.sounds import golden

RATE, SECONDS = 44_100, 20
AUDIO = AudioInput(sample_rate=16_000, window_s=5, short_audio="repeat", min_audio_s=0.5)


def encode(path: Path, bit_rate: int, **options: str) -> bytes:
    """A chord by LAME; `write_xing="0"` leaves out the header that states the length."""
    with av.open(str(path), "w", format="mp3", options={"id3v2_version": "0"} | options) as file:
        stream = file.add_stream("libmp3lame", rate=RATE)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate, stream.layout = bit_rate, "stereo"
        planes = np.ascontiguousarray(golden(SECONDS).T)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="stereo")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path.read_bytes()


@pytest.fixture(scope="module")
def stated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(tmp_path_factory.mktemp("mp3") / "stated.mp3", 128_000)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(tmp_path_factory.mktemp("mp3") / "bare.mp3", 128_000, write_xing="0")


def duration_s(content: bytes, path: Path) -> float:
    path.write_bytes(content)
    with closing(open_audio(path)) as reader:
        return reader.n_frames / reader.sample_rate


def test_a_stated_length_is_found(stated: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(stated)
    length = measure(tmp_path / "a.mp3")
    assert length.promised_frames == length.n_frames
    assert duration_s(stated, tmp_path / "a.mp3") == pytest.approx(SECONDS, abs=0.03)


def test_frames_are_counted_where_no_length_is_stated(bare: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(bare)
    assert measure(tmp_path / "a.mp3").promised_frames is None
    assert duration_s(bare, tmp_path / "a.mp3") == pytest.approx(SECONDS, abs=0.1)


def test_tags_do_not_count_as_audio(bare: bytes, tmp_path: Path) -> None:
    cover = bytes(1_000_000)  # as cover art would be; libsndfile takes it for a minute of audio
    size = bytes(len(cover) >> shift & 0x7F for shift in (21, 14, 7, 0))
    tagged = b"ID3\x03\x00\x00" + size + cover + bare + b"TAG".ljust(128, b"\0")
    plain_s = duration_s(bare, tmp_path / "a.mp3")
    assert duration_s(tagged, tmp_path / "a.mp3") == pytest.approx(plain_s, abs=0.001)
    heard = read_windows(tmp_path / "a.mp3", AUDIO, WindowChoice.parse("10")).samples
    (tmp_path / "b.mp3").write_bytes(bare)
    expected = read_windows(tmp_path / "b.mp3", AUDIO, WindowChoice.parse("10")).samples
    assert np.corrcoef(heard[0], expected[0])[0, 1] > 0.999


def test_a_variable_bit_rate_without_a_header_is_read_to_its_end(
    bare: bytes, tmp_path: Path
) -> None:
    quiet = encode(tmp_path / "quiet.mp3", 64_000, write_xing="0")
    joined_s = duration_s(bare + quiet, tmp_path / "joined.mp3")
    assert joined_s == pytest.approx(2 * SECONDS, abs=0.3)
    windows = read_windows(tmp_path / "joined.mp3", AUDIO, WindowChoice.parse("34"))
    assert np.abs(windows.samples).max() > 0.05


def test_bytes_between_frames_are_stepped_over(bare: bytes, tmp_path: Path) -> None:
    plain_s = duration_s(bare, tmp_path / "a.mp3")
    (tmp_path / "b.mp3").write_bytes(bare[: 417 * 3] + b"\x00\xff junk" * 9 + bare[417 * 3 :])
    whole = measure(tmp_path / "b.mp3").n_frames / RATE
    assert whole == pytest.approx(plain_s, abs=0.1)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_file_is_refused_whether_its_length_is_stated_or_not(
    stated: bytes, bare: bytes, tmp_path: Path, share: float
) -> None:
    for content in (stated, bare):
        with pytest.raises(TruncatedAudio):
            duration_s(content[: int(share * len(content)) + 7], tmp_path / "cut.mp3")
