"""Gaps are silence: packets that are missing are no damage, packets that fail are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import read_windows
from models.card import AudioInput
from models.errors import CorruptAudio, SilentAudio
from tests.models.audio.test_lengths import encode, live_webm
from tests.sounds import golden, write

SECONDS = 40
AUDIO = AudioInput(sample_rate=16_000, window_s=20, short_audio="repeat", min_audio_s=0.5)


def without(source: Path, is_lost: Callable[[float], bool]) -> Path:
    """A copy of a file, less the packets that begin at those seconds."""
    path = source.with_stem("gap")
    with av.open(str(source)) as whole, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(audio=0):
            begin_s = None if packet.pts is None else float(packet.pts * packet.time_base)
            if begin_s is not None and not is_lost(begin_s):
                packet.stream = stream
                target.mux(packet)
    return path


def is_quiet(samples: Samples) -> list[int]:
    """The seconds of a window in which nothing is heard."""
    seconds = np.abs(samples[: samples.size // 16_000 * 16_000]).reshape(-1, 16_000)
    return np.flatnonzero(seconds.max(axis=1) < 1e-4).tolist()


@pytest.mark.parametrize("kind", ["webm", "opus", "m4a", "mka"])
def test_five_missing_seconds_are_silence(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"whole.{kind}", golden(SECONDS)) if kind != "mka" else None
    whole = path or encode(tmp_path / "whole.mka", golden(SECONDS), "aac", "matroska")
    gap = without(whole, lambda at_s: 17 <= at_s < 22)
    for window, quiet in [("middle", [8, 9, 10]), ("start", [18, 19]), ("all", [18, 19])]:
        windows = read_windows(gap, AUDIO, WindowChoice.parse(window))
        assert set(quiet) <= set(is_quiet(windows.samples[0]))
        assert len(is_quiet(windows.samples[0])) <= 5
        assert windows.info.duration_s == pytest.approx(SECONDS, abs=0.1)
        assert "no packets, and are silence" in windows.info.notes[0]
    after = read_windows(gap, AUDIO, WindowChoice.parse("24")).samples[0]
    expected = read_windows(whole, AUDIO, WindowChoice.parse("24")).samples[0]
    middle = after[5_000:9_000]
    assert max(np.correlate(expected[4_900:9_100], middle, "valid")) > 0.99 * middle @ middle


@pytest.mark.parametrize("kind", ["webm", "opus", "m4a"])
@pytest.mark.parametrize("share", [0.02, 0.1])
def test_single_lost_packets_are_no_damage(tmp_path: Path, kind: str, share: float) -> None:
    random = np.random.default_rng(0)
    whole = write(tmp_path / f"whole.{kind}", golden(SECONDS))
    path = without(whole, lambda _: bool(random.random() < share))
    for window in ("middle", "all"):
        windows = read_windows(path, AUDIO, WindowChoice.parse(window))
        expected = read_windows(whole, AUDIO, WindowChoice.parse(window))
        assert windows.starts_s == pytest.approx(expected.starts_s, abs=0.3)
        assert windows.samples.std() == pytest.approx(expected.samples.std(), rel=share)


@pytest.mark.parametrize(("kind", "container"), [("opus", "ogg"), ("webm", "webm")])
def test_silence_that_is_not_transmitted_is_no_damage(
    tmp_path: Path, kind: str, container: str
) -> None:
    sound = golden(SECONDS, 48_000)
    sound[15 * 48_000 : 30 * 48_000] = 0
    options = {"dtx": "1", "application": "voip"}
    path = encode(tmp_path / f"a.{kind}", sound, "libopus", container, 48_000, options)
    windows = read_windows(path, AUDIO, WindowChoice())
    assert {6, 7, 8, 18} <= set(is_quiet(windows.samples[0]))
    assert len(read_windows(path, AUDIO, WindowChoice("all")).starts_s) == 2


def test_a_window_in_a_gap_is_silent_and_all_leaves_it_out(tmp_path: Path) -> None:
    path = without(live_webm(tmp_path / "whole.webm", 60), lambda at_s: 15 <= at_s < 45)
    with pytest.raises(SilentAudio):
        read_windows(path, AUDIO, WindowChoice.parse("20"))
    assert read_windows(path, AUDIO, WindowChoice()).is_moved
    audible = read_windows(path, AUDIO, WindowChoice("all"))
    assert audible.starts_s == pytest.approx((0, 40), abs=0.1)


def test_packets_that_fail_are_damage_where_they_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.m4a", golden(SECONDS))
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : third + 60_000] = np.random.default_rng(0).bytes(60_000)
    path.write_bytes(content)
    with pytest.raises(CorruptAudio, match="decodes"):
        read_windows(path, AUDIO, WindowChoice.parse("5"))
    short = AUDIO.model_copy(update={"window_s": 5.0})
    for window in ("start", "30"):
        assert not read_windows(path, short, WindowChoice.parse(window)).info.notes
