"""MP3 files state their length in many ways, or not at all."""

from __future__ import annotations

import mmap
import struct
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from models.audio.mp3.frames import parse_format
from models.audio.mp3.index import index_file
from models.audio.mp3.reader import Mp3Reader
from models.audio.window_choice import WindowChoice
from models.audio.windows import Windows, open_audio, read_windows
from models.card import AudioInput
from models.errors import TruncatedAudio
from tests.sounds import golden, write

RATE, SECONDS = 44_100, 20
AUDIO = AudioInput(sample_rate=16_000, window_s=5, short_audio="repeat", min_audio_s=0.5)


def encode(
    path: Path,
    bit_rate: int,
    rate: int = RATE,
    channels: int = 2,
    reservoir: str = "1",
    **options: str,
) -> bytes:
    """A chord by LAME; `write_xing="0"` leaves out the header that states the length."""
    layout = "stereo" if channels == 2 else "mono"
    with av.open(str(path), "w", format="mp3", options={"id3v2_version": "0"} | options) as file:
        stream = file.add_stream("libmp3lame", rate=rate, options={"reservoir": reservoir})
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate, stream.layout = bit_rate, layout
        planes = np.ascontiguousarray(golden(SECONDS, rate, channels).T)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
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
        if reader.truncation:
            raise reader.truncation
        return reader.n_samples / reader.sample_rate


def test_a_stated_length_is_found(stated: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(stated)
    index = index_file(tmp_path / "a.mp3")
    assert index.stated_samples == index.n_samples
    assert duration_s(stated, tmp_path / "a.mp3") == pytest.approx(SECONDS, abs=0.03)


def test_frames_are_counted_where_no_length_is_stated(bare: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(bare)
    assert index_file(tmp_path / "a.mp3").stated_samples is None
    assert duration_s(bare, tmp_path / "a.mp3") == pytest.approx(SECONDS, abs=0.1)


def test_the_file_name_does_not_matter(bare: bytes, tmp_path: Path) -> None:
    # By this one libsndfile would ask for the sample rate.
    assert duration_s(bare, tmp_path / "a.raw") == duration_s(bare, tmp_path / "a.mp3")


def test_tags_do_not_count_as_audio(bare: bytes, tmp_path: Path) -> None:
    cover = bytes(1_000_000)  # as cover art would be; libsndfile takes it for a minute of audio
    size = bytes(len(cover) >> shift & 0x7F for shift in (21, 14, 7, 0))
    tagged = b"ID3\x03\x00\x00" + size + cover + bare + b"TAG".ljust(128, b"\0")
    plain_s = duration_s(bare, tmp_path / "a.mp3")
    assert duration_s(tagged, tmp_path / "a.mp3") == pytest.approx(plain_s, abs=0.001)
    samples = read_windows(tmp_path / "a.mp3", AUDIO, WindowChoice.parse("10")).samples
    (tmp_path / "b.mp3").write_bytes(bare)
    expected = read_windows(tmp_path / "b.mp3", AUDIO, WindowChoice.parse("10")).samples
    assert np.corrcoef(samples[0], expected[0])[0, 1] > 0.999


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
    whole = index_file(tmp_path / "b.mp3").n_samples / RATE
    assert whole == pytest.approx(plain_s, abs=0.1)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_file_is_refused_whether_its_length_is_stated_or_not(
    stated: bytes, bare: bytes, tmp_path: Path, share: float
) -> None:
    for content in (stated, bare):
        with pytest.raises(TruncatedAudio):
            duration_s(content[: int(share * len(content)) + 7], tmp_path / "cut.mp3")


@pytest.mark.parametrize(
    ("rate", "channels", "bit_rate"),
    [(44_100, 2, 128_000), (48_000, 1, 32_000), (24_000, 2, 24_000), (8_000, 1, 8_000)],
)
@pytest.mark.parametrize("xing", ["0", "1"])
def test_a_window_equals_that_of_a_full_decode(
    tmp_path: Path, rate: int, channels: int, bit_rate: int, xing: str
) -> None:
    path = tmp_path / "a.mp3"
    encode(path, bit_rate, rate, channels, write_xing=xing)
    assert_cut_from_the_whole(path)


def test_a_window_of_a_variable_bit_rate_equals_that_of_a_full_decode(tmp_path: Path) -> None:
    quiet = golden(10)
    quiet[3 * RATE : 6 * RATE] *= 1e-3
    assert_cut_from_the_whole(write(tmp_path / "vbr.mp3", quiet))  # libsndfile lets LAME choose


def assert_cut_from_the_whole(path: Path) -> None:
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    starts = np.random.default_rng(0).integers(0, whole.size, 20)
    with closing(open_audio(path)) as reader:
        assert isinstance(reader, Mp3Reader)
        assert reader.n_samples == whole.size
        for start in [0, 1, 1_151, 1_152, *starts.tolist(), whole.size - 1]:
            samples = reader.read(start, 20_000)
            np.testing.assert_allclose(samples, whole[start : start + 20_000], atol=1e-6)
        assert reader.read(whole.size, 1).size == 0


def test_a_checksum_moves_what_follows_it(tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mp3", 320_000, reservoir="0", write_xing="0")
    kind = parse_format(plain[:4])
    assert kind
    frames, at = [], 0
    while at < len(plain):
        size = kind.frame_bytes(plain[at + 2])
        frame = plain[at : at + size]
        # What it says is not looked at; two bytes of the filling at the end make room for it.
        frames.append(frame[:1] + bytes([frame[1] & 0xFE]) + frame[2:4] + b"\x12\x34" + frame[4:-2])
        at += size
    (tmp_path / "sums.mp3").write_bytes(b"".join(frames))
    assert_cut_from_the_whole(tmp_path / "sums.mp3")
    samples, _ = soundfile.read(tmp_path / "sums.mp3")
    np.testing.assert_array_equal(samples, soundfile.read(tmp_path / "plain.mp3")[0])


def test_a_window_after_damage_is_where_the_frames_put_it(bare: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(bare)
    window = WindowChoice.parse("12")
    expected = read_windows(path, AUDIO, window).samples[0]
    index = index_file(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = index.position(data, 100)
    path.write_bytes(bare[:at] + b"\x00\xff junk" * 9 + bare[at:])
    samples = read_windows(path, AUDIO, window).samples[0]
    np.testing.assert_allclose(samples, expected, atol=1e-6)


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (22_050, 1), (RATE, 1)])
def test_pieces_of_two_formats_are_read_each_at_its_own(
    stated: bytes, tmp_path: Path, rate: int, channels: int
) -> None:
    other = encode(tmp_path / "other.mp3", 64_000, rate, channels)
    path = tmp_path / "joined.mp3"
    path.write_bytes(stated + b"TAG".ljust(128, b"\0") + other)
    (tmp_path / "first.mp3").write_bytes(stated)
    whole_s = duration_s(path.read_bytes(), path)
    assert whole_s == pytest.approx(2 * SECONDS, abs=0.05)
    windows = read_windows(path, AUDIO, WindowChoice.parse("10"))
    assert windows.info.sample_rate == max(RATE, rate)
    assert "2 recordings" in windows.info.notes[0]
    assert_same(windows, read_windows(tmp_path / "first.mp3", AUDIO, WindowChoice.parse("10")))
    second = WindowChoice.parse(f"{duration_s(stated, tmp_path / 'first.mp3') + 10:.6f}")
    expected = read_windows(tmp_path / "other.mp3", AUDIO, WindowChoice.parse("10"))
    assert_same(read_windows(path, AUDIO, second), expected)


def assert_same(windows: Windows, expected: Windows) -> None:
    """Equal but for the rounding of times to a sample."""
    assert np.corrcoef(windows.samples[0], expected.samples[0])[0, 1] > 0.995


def test_frames_of_another_format_in_damage_are_no_piece(bare: bytes, tmp_path: Path) -> None:
    other = encode(tmp_path / "other.mp3", 64_000, 48_000, write_xing="0")
    path = tmp_path / "a.mp3"
    path.write_bytes(bare[: 417 * 300] + other[: 192 * 4] + bare[417 * 300 :])
    windows = read_windows(path, AUDIO, WindowChoice.parse("12"))
    assert windows.info.sample_rate == RATE
    assert not windows.info.notes
    assert windows.info.duration_s == pytest.approx(SECONDS, abs=0.1)


def id3v2(size: int) -> bytes:
    return b"ID3\x03\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


APE_FLAGS = {"header": 0xA000_0000, "footer": 0x8000_0000}


def ape(part: str) -> bytes:
    return b"APETAGEX" + struct.pack("<IIII", 2000, 132, 1, APE_FLAGS[part]) + bytes(8)


@pytest.mark.parametrize(
    "tags",
    [
        b"",
        b"TAG".ljust(128, b"\0"),
        b"TAG".ljust(128, b"\0") + id3v2(1_500_000) + bytes(1_500_000),
        ape("header") + bytes(100) + ape("footer") + b"TAG+".ljust(227) + b"TAG".ljust(128),
        b"LYRICSBEGIN" + b"la " * 1000 + b"000028LYRICS200" + b"TAG".ljust(128, b"\0"),
    ],
    ids=["nothing", "ID3v1", "a cover", "APE", "Lyrics3"],
)
def test_joined_files_are_read_to_the_end_whatever_the_first_header_states(
    stated: bytes, bare: bytes, tmp_path: Path, tags: bytes
) -> None:
    path = tmp_path / "joined.mp3"
    for second in (stated, bare):
        path.write_bytes(stated + tags + second)
        windows = read_windows(path, AUDIO, WindowChoice.parse("34"))
        held_s = windows.info.duration_s
        assert held_s == pytest.approx(2 * SECONDS, abs=0.1)
        assert windows.info.notes == (
            f"the header promises {SECONDS}.0 s, the file holds {held_s:.1f} s",
        )
        (tmp_path / "second.mp3").write_bytes(second)
        index = index_file(tmp_path / "second.mp3")
        begin_s = held_s - (index.n_samples - (index.info.skip if index.info else 0)) / RATE
        offset = WindowChoice.parse(f"{34 - begin_s:.6f}")
        assert_same(windows, read_windows(tmp_path / "second.mp3", AUDIO, offset))


def test_a_header_of_no_frames_states_nothing(stated: bytes, tmp_path: Path) -> None:
    at = stated.index(b"Info") + 8  # as an encoder leaves it that writes to a pipe
    content = stated[:at] + bytes(4) + stated[at + 4 :]
    assert duration_s(content, tmp_path / "a.mp3") == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("size", ["right", 0, 0xFFFF_FFFF])
@pytest.mark.parametrize("bit_rates", [(128_000,), (32_000, 256_000)])
def test_mp3_in_wav_is_as_long_as_its_frames(
    tmp_path: Path, bit_rates: tuple[int, ...], size: str | int
) -> None:
    frames = b"".join(
        encode(tmp_path / "a.mp3", bit_rate, write_xing="0") for bit_rate in bit_rates
    )
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 2, RATE, 16_000, 1152, 0, 12, 1, 2, 1152, 1, 1393)
    stated = len(frames) if isinstance(size, str) else size
    head = b"fmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", stated)
    (tmp_path / "a.mp3").write_bytes(frames)
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(head) + stated & 0xFFFF_FFFF) + b"WAVE")
    with path.open("ab") as file:
        file.write(head + frames + (b"LIST\4\0\0\0INFO" if size == "right" else b""))
    for window in (WindowChoice(), WindowChoice.parse("13")):
        windows = read_windows(path, AUDIO, window)
        assert windows.info.codec == "mp3"
        assert windows.info.duration_s == pytest.approx(SECONDS * len(bit_rates), abs=0.15)
        expected = read_windows(tmp_path / "a.mp3", AUDIO, window)
        np.testing.assert_allclose(windows.samples, expected.samples, atol=1e-6)


def test_mp3_in_wav_that_is_cut_is_truncated(bare: bytes, tmp_path: Path) -> None:
    layout = struct.pack("<HHIIHH", 0x55, 2, RATE, 16_000, 1152, 0)
    head = b"RIFF" + struct.pack("<I", len(bare) + 36) + b"WAVEfmt \x10\0\0\0" + layout
    content = head + b"data" + struct.pack("<I", len(bare)) + bare
    with pytest.raises(TruncatedAudio):
        duration_s(content[: len(content) // 2], tmp_path / "cut.wav")


def test_a_window_of_the_smallest_frames_is_not_sought_from_the_files_start(tmp_path: Path) -> None:
    path = tmp_path / "small.mp3"
    content = encode(path, 8_000, 24_000, 1)
    assert_cut_from_the_whole(path)
    path.write_bytes(content * 20)
    with closing(open_audio(path)) as reader:
        assert isinstance(reader, Mp3Reader)
        frames = reader.n_samples // 576
        assert reader._reservoir_start(frames // 2) > frames // 2 - 100
