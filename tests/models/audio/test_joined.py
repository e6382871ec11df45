"""Joined files whose headers do not lead on: filler, cut pieces, tags, and hostile ones."""

from __future__ import annotations

import mmap
import re
import struct
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from models.audio.containers import adts, au, matroska, mp4, ogg, riff
from models.audio.containers.walk import MAX_PIECES, find_files
from models.audio.joined import JoinedReader
from models.audio.pieces import find_starts
from models.audio.window_choice import WindowChoice
from models.audio.windows import Windows, open_audio, read_windows
from models.card import AudioInput
from models.errors import CorruptAudio, TruncatedAudio, UnsupportedLayout
from tests.sounds import golden, write, write_av

RATE = 44_100
AUDIO = AudioInput(sample_rate=16_000, window_s=4, short_audio="repeat", min_audio_s=0.5)
ID3 = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)


def read(path: Path, offset_s: float) -> Windows:
    return read_windows(path, AUDIO, WindowChoice.parse(f"{offset_s:.6f}"))


def assert_same(windows: Windows, expected: Windows) -> None:
    one, other = windows.samples[0][100:-100], expected.samples[0]
    assert max(np.correlate(other, one, "valid")) > 0.98 * float(one @ one)


def mapped(path: Path, content: bytes) -> mmap.mmap:
    path.write_bytes(content)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@pytest.mark.parametrize("kind", ["m4a", "wav", "aiff", "webm", "ogg", "flac"])
@pytest.mark.parametrize("filler", [b"\n", bytes(10), b"TAG" + bytes(125), b"\xa5" * 100_000])
def test_bytes_between_the_pieces_hide_none(tmp_path: Path, kind: str, filler: bytes) -> None:
    first = write(tmp_path / f"first.{kind}", golden(7))
    second = write(tmp_path / f"second.{kind}", golden(9, seed=1))
    path = tmp_path / "joined"
    path.write_bytes(first.read_bytes() + filler + second.read_bytes())
    assert find_starts(path) == [0, first.stat().st_size + len(filler)]
    windows = read(path, 10)
    # What is no piece may be taken for audio: a second of PCM at most.
    assert windows.info.duration_s == pytest.approx(16, abs=0.8)
    begin_s = windows.info.duration_s - read(second, 0).info.duration_s
    assert_same(read(path, begin_s + 3), read(second, 3))


@pytest.mark.parametrize("cut_bytes", [20, 100, 1_000])
def test_a_cut_link_does_not_hide_the_next_one(tmp_path: Path, cut_bytes: int) -> None:
    first = write(tmp_path / "first.ogg", golden(7)).read_bytes()
    second = write(tmp_path / "second.ogg", golden(13, seed=1))
    path = tmp_path / "joined.ogg"
    path.write_bytes(first[:-cut_bytes] + second.read_bytes())
    windows = read_windows(path, AUDIO, WindowChoice())
    assert windows.info.duration_s == pytest.approx(20, abs=0.5)
    assert "recording 1: is cut" in windows.info.notes[1]
    at_s = windows.info.duration_s - 8
    assert_same(read(path, at_s), read(second, 13 - 8))


@pytest.mark.parametrize("kind", ["flac", "wav", "aiff", "ogg"])
def test_only_the_last_piece_makes_a_joined_file_a_cut_one(tmp_path: Path, kind: str) -> None:
    content = write(tmp_path / f"a.{kind}", golden(20)).read_bytes()
    path, half = tmp_path / "joined", content[: len(content) // 2]
    path.write_bytes(half + content)
    windows = read_windows(path, AUDIO, WindowChoice())
    assert windows.info.duration_s == pytest.approx(30, abs=3)
    assert_same(read(path, windows.info.duration_s - 12), read(tmp_path / f"a.{kind}", 8))
    path.write_bytes(content + half)
    assert read(path, 5).info.duration_s == pytest.approx(30, abs=3)
    with pytest.raises(TruncatedAudio):
        read_windows(path, AUDIO, WindowChoice())


def test_adts_segments_behind_tags_are_read_as_one(tmp_path: Path) -> None:
    one = write_av(tmp_path / "1", golden(6), RATE, "aac", "adts")
    other = write_av(tmp_path / "2", golden(10, 22_050, seed=1), 22_050, "aac", "adts")
    path = tmp_path / "hls.aac"
    path.write_bytes(ID3 + one.read_bytes() + ID3 + other.read_bytes())
    assert find_starts(path) == [len(ID3), 2 * len(ID3) + one.stat().st_size]
    windows = read(path, 2)
    assert windows.info.duration_s == pytest.approx(16, abs=0.3)
    assert_same(windows, read(one, 2))
    other_s = read(other, 5).info.duration_s
    assert_same(read(path, windows.info.duration_s - 5), read(other, other_s - 5))
    path.write_bytes(2 * (ID3 + one.read_bytes()))
    assert read(path, 2).info.duration_s == pytest.approx(12, abs=0.3)


def pcm(sample_rate: int, channels: int, seconds: float) -> bytes:
    n_bytes = round(sample_rate * seconds) * channels
    data = np.random.default_rng(0).integers(60, 200, n_bytes, dtype=np.uint8).tobytes()
    layout = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * channels, channels, 8)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", n_bytes)
    return b"RIFF" + struct.pack("<I", len(chunks) + n_bytes) + chunks + data


@pytest.mark.parametrize(
    ("odd", "reason"), [(pcm(RATE, 16, 1), "16 channels"), (pcm(1, 1, 100), "sample rate is 1 Hz")]
)
def test_a_layout_that_is_refused_alone_is_refused_in_a_joined_file(
    tmp_path: Path, odd: bytes, reason: str
) -> None:
    path = tmp_path / "a.wav"
    for content in (odd, odd + pcm(RATE, 1, 5), pcm(RATE, 1, 5) + odd):
        path.write_bytes(content)
        with pytest.raises(UnsupportedLayout, match=reason):
            open_audio(path)


def adts_frame(rate: int) -> bytes:
    return bytes([0xFF, 0xF1, 0x40 | rate << 2, 0x40, 0, 7 << 5 & 0xFF, 0xFC])


WALKED = {
    "wav": (riff.joined_starts, b"RIFF\4\0\0\0WAVE"),
    "au": (au.joined_starts, b".snd" + struct.pack(">IIIII", 24, 0, 1, 8_000, 1)),
    "mkv": (matroska.joined_starts, b"\x1aE\xdf\xa3\x87\x42\x82\x84webm\x18S\x80g\x80"),
    "mp4": (mp4.joined_starts, b"\0\0\0\x10ftypM4A \0\0\0\0"),
    "ogg": (ogg.link_starts, 2 * b"".join(b"OggS\0" + bytes([b]) + bytes(21) for b in (2, 0))),
    "adts": (adts.joined_starts, adts_frame(4) * 2 + adts_frame(3) * 2),
}


@pytest.mark.parametrize("kind", WALKED)
def test_a_walk_ends_with_one_piece_too_many(tmp_path: Path, kind: str) -> None:
    find, piece = WALKED[kind]
    data = mapped(tmp_path / "a", piece * 5_003)
    with closing(data):
        assert len(find(data)) == MAX_PIECES + 1


@pytest.mark.parametrize("end", [-1, 0, 5, 1 << 40, (1 << 64) - 1])
def test_a_stated_end_may_be_any_number(tmp_path: Path, end: int) -> None:
    """Of 64 bits, more than a position in a file may be; the next header is found all the same."""
    data = mapped(tmp_path / "x", b"HEAD" + bytes(60) + b"HEAD" + bytes(60))
    assert find_files(data, 0, lambda data, begin: end, re.compile(b"HEAD")) == [0, 64]


def test_a_wma_whose_header_states_no_end_is_read(tmp_path: Path) -> None:
    content = bytearray(write_av(tmp_path / "x.wma", golden(3), RATE, "wmav2", "asf").read_bytes())
    content[16:24] = b"\xff" * 8
    path = tmp_path / "endless.wma"
    path.write_bytes(content)
    assert read(path, 0).info.duration_s == pytest.approx(3, abs=0.3)


def test_headers_that_do_not_lead_on_are_searched_for(tmp_path: Path) -> None:
    piece = b"RIFF" + struct.pack("<I", 1 << 30) + b"WAVE" + bytes(20)
    with closing(mapped(tmp_path / "a", piece * 300)) as data:
        assert riff.joined_starts(data) == [number * len(piece) for number in range(300)]


def test_adts_frames_are_walked_over_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = adts_frame(4) * 700 + adts_frame(3) * 700
    with closing(mapped(tmp_path / "a", content)) as data:
        assert adts.joined_starts(data) == [0, 700 * 7]
        monkeypatch.setattr(adts, "MAX_FRAMES", 1_000)
        with pytest.raises(CorruptAudio, match="changes in audio of more than 1000 ADTS frames"):
            adts.joined_starts(data)


def test_boxes_beyond_the_limit_hide_no_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mp4, "MAX_BOXES", 4)
    first = write(tmp_path / "a.m4a", golden(2)).read_bytes() + b"\0\0\0\x08free" * 9
    with closing(mapped(tmp_path / "joined", 2 * first)) as data:
        assert mp4.joined_starts(data) == [0, len(first)]


def test_mp3_goes_on_behind_more_than_a_megabyte_of_other_bytes(tmp_path: Path) -> None:
    one = write(tmp_path / "1.mp3", golden(6))
    other = write(tmp_path / "2.mp3", golden(12, seed=1))
    path = tmp_path / "joined.mp3"
    noise = np.random.default_rng(0).integers(0, 256, 3 << 19, dtype=np.uint8).tobytes()
    for gap in (bytes(2 << 20), noise):
        path.write_bytes(one.read_bytes() + gap + other.read_bytes())
        windows = read(path, 1)
        assert windows.info.duration_s == pytest.approx(18, abs=0.2)
        assert_same(windows, read(one, 1))
        assert_same(read(path, windows.info.duration_s - 5), read(other, 12 - 5))
        with closing(open_audio(path)) as reader:
            assert isinstance(reader, JoinedReader)
    path.write_bytes(one.read_bytes() + ID3 + bytes(2 << 20))
    windows = read(path, 1)
    assert windows.info.duration_s == pytest.approx(6, abs=0.1)
    assert windows.info.notes == (
        f"{2 << 20} bytes after the last frame are no mp3 audio, and unread",
    )


def test_an_info_header_of_no_frames_states_no_length(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", golden(6))
    content = bytearray(path.read_bytes())
    at = max(content.find(b"Xing"), content.find(b"Info"))
    assert at > 0
    content[at + 8 : at + 12] = bytes(4)
    expected = read(path, 1)
    path.write_bytes(content)
    windows = read(path, 1)
    assert windows.info.duration_s == pytest.approx(6, abs=0.1)
    assert windows.info.notes == ()
    assert_same(windows, expected)
