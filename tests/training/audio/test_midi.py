"""MIDI is rendered to audio; failures are reported; existing renderings are kept."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.audio.midi import SOUNDFONTS, find_soundfont, midi_files, render
from training.errors import MissingTool

pytestmark = pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not any(path.is_file() for path in SOUNDFONTS),
    reason="rendering needs fluidsynth and fluid-soundfont-gm (Debian)",
)


def chord(seconds: int) -> bytes:
    """A standard MIDI file, format 0, a tick a millisecond: middle C for so long."""
    on, off = b"\x00\x90\x3c\x64", length(seconds * 1000) + b"\x80\x3c\x00"
    tempo = b"\x00\xff\x51\x03" + (1_000_000).to_bytes(3, "big")
    track = tempo + on + off + b"\x00\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 1000)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


def length(ticks: int) -> bytes:
    """A variable-length quantity."""
    groups = [ticks & 0x7F]
    while ticks := ticks >> 7:
        groups.append(ticks & 0x7F | 0x80)
    return bytes(reversed(groups))


def test_a_note_sounds_at_its_pitch_and_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "note.mid").write_bytes(chord(4))
    (tmp_path / "text.mid").write_text("not a score")
    with midi_files(tmp_path) as files:
        results = dict(render(files, tmp_path / "out", max_seconds=3))
    assert results[tmp_path / "note.mid"] is None
    assert "text.mid" in str(results[tmp_path / "text.mid"])
    audio, rate = soundfile.read(tmp_path / "out" / "note.flac")
    assert (rate, len(audio)) == (16_000, 48_000)
    peak_hz = np.abs(np.fft.rfft(audio)).argmax() * rate / len(audio)
    assert peak_hz == pytest.approx(261.6, rel=0.02)


def test_what_is_rendered_is_kept(tmp_path: Path) -> None:
    (tmp_path / "note.mid").write_bytes(chord(1))
    with midi_files(tmp_path) as files:
        list(render(files, tmp_path / "out"))
        made = (tmp_path / "out" / "note.flac").stat().st_mtime_ns
        assert list(render(files, tmp_path / "out")) == [(tmp_path / "note.mid", None)]
    assert (tmp_path / "out" / "note.flac").stat().st_mtime_ns == made


def test_a_missing_sound_font_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match=r"none\.sf2"):
        find_soundfont(tmp_path / "none.sf2")
