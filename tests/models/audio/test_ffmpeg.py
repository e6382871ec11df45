"""Windows decoded by FFmpeg are at the right sample, whatever timestamps the packets have."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from av.stream import Disposition

from models.audio.ffmpeg import FfmpegReader
from models.audio.ffmpeg_blocks import FIFO_BLOCK_SAMPLES, Block, FrameBuffer
from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import read_windows
from models.card import AudioInput
from models.errors import CorruptAudio, NoAudioStream
from tests.sounds import golden, write, write_av

RATE, SECONDS = 44_100, 20
AUDIO = AudioInput(sample_rate=16_000, window_s=2, short_audio="repeat", min_audio_s=0.5)


@pytest.fixture(scope="module")
def vorbis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with bursts, at which long blocks change to short ones and back."""
    sound = 0.3 * golden(SECONDS)
    for at in np.random.default_rng(0).integers(0, len(sound) - 200, 60):
        sound[at : at + 200] += 0.6
    return write(tmp_path_factory.mktemp("vorbis") / "bursts.ogg", sound)


def test_vorbis_is_what_libsndfile_decodes_from_the_start(vorbis: Path) -> None:
    whole = soundfile.read(vorbis, dtype="float32")[0].mean(axis=1)
    random = np.random.default_rng(1)
    with closing(FfmpegReader(vorbis)) as reader:
        assert reader.n_samples == whole.size
        # Forth and back, and into the last page after it was read.
        near_end = [whole.size - 300, whole.size - 9_000, whole.size - 30_000]
        for start in [0, *random.integers(0, whole.size - RATE, 20), *near_end, 0, *near_end]:
            samples = reader.read(int(start), RATE)
            np.testing.assert_allclose(samples, whole[start : start + RATE], atol=1e-5)


def lag(samples: Samples, whole: Samples, start: int, max_lag: int = 100) -> int:
    """By how many samples `samples` is shifted against `whole[start:]`."""
    around = np.pad(whole, max_lag)[start : start + samples.size + 2 * max_lag]
    return int(np.correlate(around, samples, "valid").argmax()) - max_lag


@pytest.mark.parametrize(("kind", "max_lag"), [("opus", 0), ("m4a", 0), ("webm", 48)])
def test_windows_are_those_of_a_reading_from_the_start(
    tmp_path: Path, kind: str, max_lag: int
) -> None:
    path = write(tmp_path / f"a.{kind}", golden(SECONDS))
    with closing(FfmpegReader(path)) as reader:
        whole = reader.read(0, reader.n_samples)
        for start in (0, 7, 300_000, whole.size - 30_000, whole.size - 5_000, 100_000):
            samples = reader.read(start, 4_000)
            assert samples.size == 4_000
            assert abs(lag(samples, whole, start)) <= max_lag  # WebM states milliseconds
            if not max_lag:  # AAC fills bands with noise that is another each time
                assert np.corrcoef(samples, whole[start : start + 4_000])[0, 1] > 0.99


def test_audio_after_damage_keeps_its_position(tmp_path: Path) -> None:
    path = write(tmp_path / "a.m4a", golden(SECONDS))
    with closing(FfmpegReader(path)) as reader:
        expected = reader.read(12 * RATE, 4 * RATE)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2  # 10 s
    content[middle : middle + 600] = np.random.default_rng(0).bytes(600)
    path.write_bytes(content)
    with closing(FfmpegReader(path)) as reader:
        samples = reader.read(8 * RATE, 8 * RATE)
    assert np.corrcoef(samples[4 * RATE :], expected)[0, 1] > 0.999


def test_raw_aac_may_change_its_channels_and_its_rate(tmp_path: Path) -> None:
    parts = {
        (rate, channels): write_av(
            tmp_path / "part.aac", golden(4, rate, channels), rate, "aac", "adts"
        ).read_bytes()
        for rate, channels in ((RATE, 1), (RATE, 2), (RATE // 2, 2))
    }
    path = tmp_path / "joined.aac"
    for order in (1, -1):
        path.write_bytes(b"".join([parts[RATE, 1], parts[RATE, 2]][::order]))
        windows = read_windows(path, AUDIO, WindowChoice.parse("3"))
        assert (np.abs(windows.samples[0]).reshape(20, -1).max(axis=1) > 0.01).all()
    for order in (1, -1):
        path.write_bytes(b"".join([parts[RATE, 2], parts[RATE // 2, 2], parts[RATE, 2]][::order]))
        windows = read_windows(path, AUDIO, WindowChoice.parse("3"))
        assert windows.info.duration_s == pytest.approx(12, abs=0.3)
        assert windows.info.sample_rate == RATE
        assert (np.abs(windows.samples[0]).reshape(20, -1).max(axis=1) > 0.001).all()


def test_another_rate_within_a_container_is_named(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.m4a", golden(4), RATE, "aac", "ipod")
    with closing(FfmpegReader(path)) as reader:
        reader._timeline = replace(reader._timeline, sample_rate=RATE // 2)
        with pytest.raises(CorruptAudio, match="sample rate changes from 22050 to 44100 Hz"):
            reader.read(0, RATE // 2)


def frame(samples: Samples, format_name: str = "fltp") -> av.AudioFrame:
    """One of as many channels as there are rows."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    made = av.AudioFrame.from_ndarray(samples, format=format_name, layout=layout)
    made.sample_rate = RATE
    return made


def test_frames_in_a_row_become_blocks_without_a_seam() -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, (6, 3 * FIFO_BLOCK_SAMPLES)).astype(np.float32)
    buffer, mono = FrameBuffer(RATE), np.zeros(sound.shape[1], np.float32)
    blocks: list[Block | None] = []
    for start in range(0, sound.shape[1], 1024):
        jitter = start // 1024 % 3  # as where times are rounded
        blocks.append(buffer.add(frame(sound[:, start : start + 1024]), start + jitter))
    made = [block for block in [*blocks, buffer.take()] if block]
    assert [block.position for block in made] == [0, FIFO_BLOCK_SAMPLES, 2 * FIFO_BLOCK_SAMPLES]
    for block in made:
        block.mix_down(block.position, mono[block.position : block.end])
    np.testing.assert_allclose(mono, sound.mean(axis=0), atol=1e-6)


def test_one_misplaced_frame_is_not_a_gap() -> None:
    buffer = FrameBuffer(RATE)
    silence = np.zeros((2, 1000), np.float32)
    for position in (0, 1000, 2448, 3000, 4000):  # the third as FFmpeg places some of Vorbis
        assert buffer.add(frame(silence), position) is None
    gap = [buffer.add(frame(silence), position) for position in (9000, 10_000, 11_000)]
    assert [block and (block.position, block.end) for block in gap] == [None, (0, 6000), None]
    rest = buffer.take()
    assert rest
    assert (rest.position, rest.end) == (10_000, 12_000)


def test_another_sample_format_on_the_way_is_refused() -> None:
    buffer = FrameBuffer(RATE)
    buffer.add(frame(np.zeros((2, 100), np.float32)), 0)
    with pytest.raises(CorruptAudio):
        buffer.add(frame(np.zeros((2, 100), np.int16), "s16p"), 100)


def test_an_unknown_codec_is_no_audio(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webm", golden(2))
    path.write_bytes(path.read_bytes().replace(b"A_OPUS", b"A_XXXX", 1))
    with pytest.raises(NoAudioStream):
        FfmpegReader(path)


@pytest.mark.parametrize(
    ("codec", "container", "name"),
    [
        ("pcm_s16le", "matroska", "pcm_16"),
        ("pcm_f32le", "mov", "float"),
        ("pcm_s24be", "caf", "pcm_24"),
        ("libmp3lame", "matroska", "mp3"),
        ("libmp3lame", "mp3", "mp3"),
        ("libopus", "webm", "opus"),
        ("alac", "ipod", "alac"),
        ("aac", "ipod", "aac"),
    ],
)
def test_a_codec_has_one_name_whatever_reads_it(
    tmp_path: Path, codec: str, container: str, name: str
) -> None:
    path = write_av(tmp_path / "x", golden(3.0), RATE, codec, container)
    assert read_windows(path, AUDIO, WindowChoice()).info.codec == name


def write_tracks(path: Path, container: str, default: int) -> None:
    """Two audio tracks of a tone each, at 440 and 880 Hz, one of which is the default one."""
    t = np.arange(4 * RATE) / RATE
    with av.open(str(path), "w", format=container) as file:
        streams = []
        for number in range(2):
            stream = file.add_stream("aac", rate=RATE)
            assert isinstance(stream, av.AudioStream)
            stream.layout = "mono"
            stream.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(stream)
        for pitch, stream in zip((440, 880), streams, strict=True):
            tone = (0.5 * np.sin(2 * np.pi * pitch * t)).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate = RATE
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))


@pytest.mark.parametrize("container", ["matroska", "mp4"])
@pytest.mark.parametrize("default", [0, 1])
def test_of_several_audio_tracks_the_default_one_is_read(
    tmp_path: Path, container: str, default: int
) -> None:
    write_tracks(tmp_path / "x", container, default)
    (samples,) = read_windows(tmp_path / "x", AUDIO, WindowChoice()).samples
    spectrum = np.abs(np.fft.rfft(samples))
    pitch = float(np.argmax(spectrum)) * AUDIO.sample_rate / samples.size
    assert pitch == pytest.approx(880 if default else 440, abs=2)
