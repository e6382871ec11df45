"""FFmpeg filter graph: intact files are decoded by it, damaged files frame by frame."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from models.audio import ffmpeg
from models.audio.ffmpeg import FfmpegReader
from models.audio.ffmpeg_graph import GRAPH_BLOCK_SAMPLES, GraphSource
from models.audio.mp3.reader import Mp3Reader
from models.audio.window_choice import Samples
from models.audio.windows import open_audio
from tests.sounds import Sound, golden, write, write_surround

RATE, SECONDS = 44_100, 20
PACKETS_PER_S = 50


@pytest.fixture(autouse=True)
def short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph decodes the short reads of these tests too."""
    monkeypatch.setattr(ffmpeg, "MIN_GRAPH_READ_S", 0.0)


def read(path: Path, starts: list[float], seconds: float) -> list[Samples]:
    with closing(open_audio(path)) as reader:
        count = round(seconds * reader.sample_rate)
        return [reader.read(round(start * reader.sample_rate), count) for start in starts]


def nothing(*_: object, **__: object) -> None:
    return None


@pytest.mark.parametrize("kind", ["mp3", "m4a", "opus", "webm"])
def test_both_ways_hear_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = write(tmp_path / f"a.{kind}", golden(SECONDS))
    starts = [0.0, 0.01, 3.3, SECONDS - 2.0, SECONDS - 0.2]
    with monkeypatch.context() as patched:
        patched.delattr(FfmpegReader, "_read_by_frames")
        patched.delattr(Mp3Reader, "_read_damaged")
        quick = read(path, starts, 2.0)
    monkeypatch.setattr(GraphSource, "read", nothing)
    for one, other in zip(quick, read(path, starts, 2.0), strict=True):
        assert one.size == other.size > 0.1 * RATE
        if kind == "m4a":  # AAC fills bands with noise that is another each time
            assert np.corrcoef(one, other)[0, 1] > 0.99
        elif kind == "webm":  # which states milliseconds
            assert abs(lag(one, other)) <= 48
        else:
            np.testing.assert_allclose(one, other, atol=1e-6)


def lag(one: Samples, other: Samples) -> int:
    return int(np.correlate(np.pad(other, 100), one, "valid").argmax()) - 100


def test_six_channels_are_mixed_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, (RATE * 4, 6)).astype(np.float32)
    path = write_surround(tmp_path / "a.m4a", sound, "aac", "mp4")
    with monkeypatch.context() as patched:
        patched.delattr(FfmpegReader, "_read_by_frames")
        quick = read(path, [1.0], 2.0)
    monkeypatch.setattr(GraphSource, "read", nothing)
    np.testing.assert_array_equal(quick, read(path, [1.0], 2.0))


@pytest.fixture
def gap(tmp_path: Path) -> Path:
    """Opus of twenty seconds, less a packet after ten."""
    return without(tmp_path, 10 * PACKETS_PER_S, 1)


def without(folder: Path, first: int, count: int) -> Path:
    """Opus of twenty seconds, less some packets."""
    whole = write(folder / "whole.webm", golden(SECONDS))
    with av.open(str(whole)) as source, av.open(str(folder / "gap.webm"), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for number, packet in enumerate(source.demux(audio=0)):
            if packet.dts is not None and not first <= number < first + count:
                packet.stream = stream
                target.mux(packet)
    return folder / "gap.webm"


def source_of(path: Path) -> GraphSource:
    with closing(FfmpegReader(path)) as reader:
        assert reader._source
        return reader._source


def test_across_a_gap_the_graph_returns_none(gap: Path) -> None:
    source = source_of(gap)
    rate = source.sample_rate
    block_s = GRAPH_BLOCK_SAMPLES / rate
    for start_s, is_complete in [(2.0, True), (10.0 - 2 * block_s - 1.5, True), (8.8, False)]:
        samples = source.read(round(start_s * rate), 3 * rate // 2, from_s=start_s - 0.2)
        assert (samples is not None) == is_complete


def test_audio_after_a_gap_keeps_its_position(gap: Path) -> None:
    both = np.array([read(path, [8.0], 5.0)[0] for path in (gap, gap.with_name("whole.webm"))])
    for begin in (0, 4 * 48_000):
        assert abs(lag(*both[:, begin : begin + 48_000])) <= 48


@pytest.mark.parametrize("before_end_s", [0.3, 0.12])
def test_a_gap_that_no_block_follows_is_no_secret(tmp_path: Path, before_end_s: float) -> None:
    first = round((SECONDS - before_end_s) * PACKETS_PER_S)
    source = source_of(without(tmp_path, first, 5))
    rate = source.sample_rate
    start_s = SECONDS - 2.0
    assert source.read(round(start_s * rate), round(1.85 * rate), from_s=start_s - 0.2) is None


def clicks(seconds: int, rate: int) -> Sound:
    """For each of them Vorbis takes short blocks."""
    random = np.random.default_rng(0)
    sound = 0.3 * golden(seconds, rate, 1)
    fades = 0.9 * np.exp(-np.arange(300) / 40)[:, None]
    for at in random.integers(0, len(sound) - 300, 10 * seconds):
        sound[at : at + 300] += fades * random.uniform(-1, 1, (300, 1))
    clipped: Sound = np.clip(sound, -1, 1).astype(np.float32)
    return clipped


def test_vorbis_keeps_its_position_at_short_blocks(tmp_path: Path) -> None:
    rate = RATE // 2
    path = write(tmp_path / "a.ogg", clicks(60, rate), rate)
    expected = soundfile.read(path, dtype="float32")[0]
    random = np.random.default_rng(0)
    for seconds, tries in [(1.0, 60), (5.0, 60), (30.0, 20)]:
        count = round(seconds * rate)
        starts = random.integers(0, expected.size - count, tries)
        for start, samples in zip(starts, read(path, list(starts / rate), seconds), strict=True):
            np.testing.assert_allclose(samples, expected[start : start + count], atol=1e-4)
    source = source_of(path)
    told = [source.read(start, count, from_s=start / rate - 0.2) is not None for start in starts]
    assert sum(told) > 0.8 * tries


def test_a_file_in_memory_is_closed_where_there_is_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp3", golden(2.0))
    monkeypatch.setattr("models.audio.ffmpeg_graph.np.empty", no_memory)
    before = n_open()
    with pytest.raises(MemoryError):
        read(path, [0.0], 1.0)
    assert n_open() == before


def no_memory(*_: object) -> None:
    raise MemoryError


def test_missing_audio_is_not_invented(tmp_path: Path) -> None:
    path = write(tmp_path / "a.m4a", golden(4.0))
    source = source_of(path)
    assert source.read(0, 4 * RATE) is not None
    assert source.read(0, 5 * RATE) is None  # its end
    assert source.read(0, RATE, from_s=2.0) is None  # its beginning
    assert GraphSource(tmp_path / "none.m4a", RATE).read(0, RATE) is None
    assert GraphSource(path, RATE // 2).read(0, RATE) is None  # another rate
    assert GraphSource(path, RATE, stream=3).read(0, RATE) is None


def test_only_what_the_options_name_is_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", golden(2.0))
    for options, is_complete in [
        ({"format_whitelist": "mp3", "protocol_whitelist": "file"}, True),
        ({"format_whitelist": "ogg", "protocol_whitelist": "file"}, False),
        ({"format_whitelist": "mp3", "protocol_whitelist": "http"}, False),
    ]:
        samples = GraphSource(path, RATE, options=options).read(1_200, RATE)
        assert (samples is not None) == is_complete


def test_no_name_of_a_file_is_taken_for_options(tmp_path: Path) -> None:
    for name in ("a:loop=0.m4a", "it's, [one];.m4a", "back\\slash.m4a", "%d.m4a"):
        path = write(tmp_path / name, golden(2.0))
        assert GraphSource(path, RATE).read(0, RATE) is not None


def test_what_takes_long_to_open_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.m4a", golden(4.0))
    (expected,) = read(path, [1.0], 2.0)
    monkeypatch.setattr("models.audio.ffmpeg.MAX_GRAPH_OPEN_S", 0.0)
    monkeypatch.delattr(GraphSource, "read")
    (samples,) = read(path, [1.0], 2.0)
    assert np.corrcoef(samples, expected)[0, 1] > 0.99


def test_no_file_stays_open(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"a.{kind}", golden(2.0)) for kind in ("mp3", "m4a")]
    (tmp_path / "broken.m4a").write_bytes(paths[1].read_bytes()[:9_000])
    before = n_open()
    for path in paths:
        read(path, [0.0, 1.0], 0.5)
    GraphSource(paths[1], RATE).read(0, 9 * RATE)
    GraphSource(tmp_path / "broken.m4a", RATE).read(0, RATE)
    assert n_open() == before


def n_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
