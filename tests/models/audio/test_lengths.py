"""Lengths: what is answered is the audio that is there, whatever a header states."""

from __future__ import annotations

import struct
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from models.audio.containers.matroska import Clusters
from models.audio.ffmpeg import FfmpegReader
from models.audio.ffmpeg_graph import GraphSource
from models.audio.joined import JoinedReader
from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import Windows, open_audio, read_windows
from models.card import AudioInput
from models.errors import CorruptAudio, TruncatedAudio, UnsupportedCodec
from tests.sounds import Sound, golden, write, write_av

RATE = 44_100
AUDIO = AudioInput(sample_rate=16_000, window_s=4, short_audio="repeat", min_audio_s=0.5)
# Real files, where the project lies beside them.
MOODS = Path(__file__).parents[4] / "shared" / "data" / "mood-recordings" / "audio"


def read(path: Path, offset_s: float) -> Windows:
    return read_windows(path, AUDIO, WindowChoice.parse(f"{offset_s:.6f}"))


def assert_same(windows: Windows, expected: Windows, min_correlation: float = 0.99) -> None:
    """The same sound at the same place, but for a coarse clock of the container."""
    one, other = windows.samples[0], expected.samples[0]
    assert one.std() == pytest.approx(other.std(), rel=0.05)
    middle = one[100:-100]
    assert max(np.correlate(other, middle, "valid")) > min_correlation * float(middle @ middle)


def encode(
    path: Path,
    sound: Sound,
    codec: str,
    container: str,
    rate: int = RATE,
    codec_options: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Write with options of the codec and of FFmpeg's muxer."""
    layout = "stereo" if sound.shape[1] == 2 else "mono"
    with av.open(str(path), "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=rate, options=codec_options or {})
        assert isinstance(stream, av.AudioStream)
        stream.layout, stream.bit_rate = layout, 128_000 if codec != "g726" else 32_000
        planes = np.ascontiguousarray(sound.T)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", ["ogg", "opus", "wav", "aiff", "flac", "m4a", "webm"])
def test_joined_files_are_read_as_one(tmp_path: Path, kind: str) -> None:
    first = write(tmp_path / f"first.{kind}", golden(7))
    second = write(tmp_path / f"second.{kind}", golden(13, seed=1))
    path = tmp_path / f"joined.{kind}"
    path.write_bytes(first.read_bytes() + second.read_bytes() + first.read_bytes())
    with closing(open_audio(first)) as one, closing(open_audio(path)) as joined:
        assert isinstance(joined, JoinedReader)
        begin_s = one.n_samples / one.sample_rate
        assert joined.n_samples / joined.sample_rate == pytest.approx(27, abs=0.2)
        assert joined.codec == one.codec
    windows = read(path, 1.5)
    assert "3 recordings" in windows.info.notes[0]
    assert_same(windows, read(first, 1.5))
    assert_same(read(path, begin_s + 5), read(second, 5))
    across = read(path, begin_s - 2).samples[0]
    assert np.abs(across).reshape(40, -1).max(axis=1).min() > 0.01
    whole = read_windows(path, AUDIO, WindowChoice("all"))
    assert len(whole.starts_s) == 7


@pytest.mark.parametrize(
    ("codec", "container"), [("wmav2", "asf"), ("pcm_s16le", "caf"), ("libmp3lame", "wav")]
)
def test_joined_files_of_rarer_containers_are_read_as_one(
    tmp_path: Path, codec: str, container: str
) -> None:
    one = tmp_path / "one"
    if codec.startswith("pcm"):
        write_av(one, golden(20), RATE, codec, container)
    else:
        encode(one, golden(20), codec, container)
    (tmp_path / "joined").write_bytes(2 * one.read_bytes())
    windows = read(tmp_path / "joined", 5)
    assert windows.info.duration_s == pytest.approx(40, abs=0.2)
    assert_same(windows, read(one, 5))


def test_joined_flac_files_with_tags_between_are_read_as_one(tmp_path: Path) -> None:
    tag = b"ID3\x03\0\0\0\0\x10\0" + bytes(2048)
    content = write(tmp_path / "a.flac", golden(10)).read_bytes()
    for name, joined in (("after", content + tag + content), ("first", 2 * (tag + content))):
        (tmp_path / name).write_bytes(joined)
        assert read(tmp_path / name, 12).info.duration_s == pytest.approx(20, abs=0.01)


def test_flac_goes_on_where_its_header_states_too_little(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", golden(30))
    content = bytearray(path.read_bytes())
    stated = int.from_bytes(content[18:26]) & ~((1 << 36) - 1)
    expected = read(path, 20)
    for n_samples, note in ((10 * RATE, "promises 10.0 s"), (0, "")):
        content[18:26] = (stated | n_samples).to_bytes(8)
        path.write_bytes(content)
        windows = read(path, 20)
        assert windows.info.duration_s == pytest.approx(30, abs=0.01)
        assert note in "".join(windows.info.notes)
        assert_same(windows, expected)


@pytest.mark.parametrize("kind", ["ogg", "opus", "flac", "wav"])
def test_a_file_joined_to_itself_is_twice_as_long(tmp_path: Path, kind: str) -> None:
    content = write(tmp_path / f"a.{kind}", golden(9)).read_bytes()
    (tmp_path / "twice").write_bytes(2 * content)
    assert read(tmp_path / "twice", 12).info.duration_s == pytest.approx(18, abs=0.1)


@pytest.mark.parametrize("kind", ["ogg", "opus", "flac", "wav", "aiff", "m4a", "webm"])
def test_a_single_file_is_not_taken_for_a_joined_one(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", golden(30))
    with closing(open_audio(path)) as reader:
        assert not isinstance(reader, JoinedReader)
        assert not reader.notes


def test_links_of_another_rate_and_layout_are_resampled(tmp_path: Path) -> None:
    first = write(tmp_path / "first.ogg", golden(12))
    second = write(tmp_path / "second.ogg", golden(6, 22_050, 1), 22_050)
    path = tmp_path / "chain.ogg"
    path.write_bytes(second.read_bytes() + first.read_bytes())
    windows = read(path, 1)
    assert windows.info.sample_rate == RATE  # the highest
    assert windows.info.duration_s == pytest.approx(18, abs=0.01)
    assert_same(windows, read(second, 1))
    assert_same(read(path, 6 + 5), read(first, 5))


def test_a_chain_of_a_thousand_links_is_opened_and_more_are_refused(tmp_path: Path) -> None:
    link = write(tmp_path / "a.ogg", golden(0.2, 8_000, 1), 8_000).read_bytes()
    path = tmp_path / "chain.ogg"
    path.write_bytes(60 * link)
    assert read(path, 5).info.duration_s == pytest.approx(12, abs=0.1)
    path.write_bytes(1_001 * link)
    with pytest.raises(CorruptAudio, match="more than 1000 recordings"):
        open_audio(path)


@pytest.mark.parametrize(
    ("codec", "container", "rate"),
    [
        ("libopus", "matroska", 48_000),
        ("libopus", "webm", 48_000),
        ("libmp3lame", "matroska", RATE),
        ("libopus", "ogg", 48_000),
        ("aac", "mp4", RATE),
        ("wmav2", "asf", RATE),
    ],
)
def test_times_that_begin_late_are_no_missing_audio(
    tmp_path: Path, codec: str, container: str, rate: int
) -> None:
    sound = golden(20, rate)
    late = encode(tmp_path / "late", sound, codec, container, rate, output_ts_offset="3600")
    prompt = encode(tmp_path / "prompt", sound, codec, container, rate)
    windows = read(late, 9)
    assert windows.info.duration_s == pytest.approx(20, abs=0.1)
    assert not windows.info.notes
    assert_same(windows, read(prompt, 9))


def test_late_times_do_not_hide_that_a_file_is_cut(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "a.mkv", golden(40, 48_000), "libopus", "matroska", 48_000, output_ts_offset="99"
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TruncatedAudio, match=r"states 40\.\d\d s"):
        read_windows(path, AUDIO, WindowChoice())


@pytest.mark.parametrize("codec", ["g722", "g726", "wmav2", "mp2", "ac3", "adpcm_swf"])
def test_compressed_audio_in_wav_is_as_long_as_it_decodes(tmp_path: Path, codec: str) -> None:
    rate = {"g722": 16_000, "g726": 8_000}.get(codec, RATE)
    channels = 1 if codec in {"g722", "g726"} else 2
    sound = golden(30, rate, channels)
    path = encode(tmp_path / "a.wav", sound, codec, "wav", rate)
    plain = write(tmp_path / "plain.wav", sound, rate)
    for offset_s in (0.5, 13, 25):
        windows = read(path, offset_s)
        assert windows.info.duration_s == pytest.approx(30, abs=0.1)
        one, other = windows.samples[0][2_000:-2_000], read(plain, offset_s).samples[0]
        norms = np.linalg.norm(one) * np.linalg.norm(other[2_000:-2_000])
        assert max(np.correlate(other, one, "valid")) > 0.95 * norms  # an encoder's own delay


def test_a_codec_in_wav_that_ffmpeg_cannot_decode_is_named(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wav", golden(5), "aac", "wav")
    with pytest.raises(UnsupportedCodec, match="aac in WAV") as refused:
        open_audio(path)
    assert "convert" in refused.value.remedy


def live_webm(path: Path, seconds: float) -> Path:
    """As browsers record: no duration, no Cues, clusters of five seconds."""
    with av.open(str(path), "w", format="webm", options={"live": "1"}) as file:
        stream = file.add_stream("libopus", rate=48_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout, stream.bit_rate = "mono", 24_000
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(golden(seconds, 48_000, 1).T), format="fltp", layout="mono"
        )
        frame.sample_rate = 48_000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def test_the_last_cluster_tells_the_end_of_a_recording_without_cues(tmp_path: Path) -> None:
    path = live_webm(tmp_path / "live.webm", 90)
    whole = write_av(tmp_path / "whole.webm", golden(90, 48_000, 1), 48_000, "libopus", "webm")
    clusters = Clusters.find(path)
    assert clusters
    assert clusters.last.position > 0.9 * path.stat().st_size
    assert Clusters.find(whole) is None
    for offset_s in (0, 3, 44.5, 86):
        windows = read(path, offset_s)
        assert windows.info.duration_s == pytest.approx(90, abs=0.05)
        assert not windows.info.notes
        assert_same(windows, read(whole, offset_s), 0.95)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])  # a browser that crashed
    assert read(path, 3).info.duration_s == pytest.approx(45, abs=6)


def test_of_a_recording_without_cues_only_the_window_is_demuxed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = live_webm(tmp_path / "live.webm", 240)
    copied: list[int] = []
    excerpt = Clusters.excerpt

    def counted(self: Clusters, first: int, last: int) -> bytes:
        copied.append(len(content := excerpt(self, first, last)))
        return content

    monkeypatch.setattr(Clusters, "excerpt", counted)
    read(path, 120)
    assert len(copied) == 2  # the last cluster, and the window
    assert sum(copied) < 0.5 * path.stat().st_size


@pytest.mark.parametrize("kind", ["mp3", "m4a", "wav", "aiff", "flac", "ogg", "opus"])
def test_a_cut_file_answers_for_what_it_holds(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", golden(40))
    if kind == "m4a":  # with its index before the audio, else it does not open
        path = encode(tmp_path / "fast.m4a", golden(40), "aac", "mp4", movflags="faststart")
    whole = read(path, 5)
    start = path.stat().st_size // 2
    path.write_bytes(path.read_bytes()[: start + 7])
    windows = read(path, 5)
    assert_same(windows, whole)
    assert 12 < windows.info.duration_s < 28
    assert "file" in windows.info.notes[-1]
    assert read_windows(path, AUDIO, WindowChoice("start")).starts_s == (0,)
    for window in ("middle", "all", "30", "39.9", f"{windows.info.duration_s - 1:.6f}"):
        with pytest.raises(TruncatedAudio):
            read_windows(path, AUDIO, WindowChoice.parse(window))


def test_a_length_in_a_header_does_not_end_the_audio(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webm", golden(20))
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88")  # Duration, a float of eight bytes
    assert struct.unpack(">d", content[at + 3 : at + 11])[0] == pytest.approx(20_014, abs=20)
    path.write_bytes(content[: at + 3] + struct.pack(">d", 6000) + content[at + 11 :])
    windows = read(path, 15)
    assert windows.info.duration_s == pytest.approx(20, abs=0.05)
    assert windows.info.notes == ("the header promises 6.0 s, the file holds 20.0 s",)


def burst(self: GraphSource, start: int, count: int, **_: float) -> Samples:
    return np.full(count, 136, np.float32)


@pytest.mark.parametrize("kind", ["opus", "webm"])
def test_a_burst_of_ffmpegs_opus_decoder_is_decoded_by_libopus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = write(tmp_path / f"a.{kind}", golden(20))
    audio = AUDIO.model_copy(update={"window_s": 8.0})  # long enough for the graph
    for window in (WindowChoice("start"), WindowChoice.parse("9")):
        expected = read_windows(path, audio, window)
        with monkeypatch.context() as patched:
            patched.setattr(GraphSource, "read", burst)
            windows = read_windows(path, audio, window)
        assert_same(windows, expected)


@pytest.mark.parametrize("name", ["M105", "M609"])
def test_valid_opus_files_have_no_bursts(name: str) -> None:
    path = MOODS / f"{name}.opus"
    if not path.exists():
        pytest.skip("no real files beside the project")
    with closing(FfmpegReader(path)) as reader:
        assert np.abs(reader.read(0, 30 * 48_000)).max() < 0.8


def test_the_id_of_a_cluster_in_other_data_is_no_cluster(tmp_path: Path) -> None:
    path = live_webm(tmp_path / "live.webm", 30)
    before = Clusters.find(path)
    path.write_bytes(path.read_bytes() + b"\x1fC\xb6u" * 1_000)
    assert before == Clusters.find(path)
