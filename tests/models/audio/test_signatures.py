"""Files of other kinds are named, with what to do, and never called truncated."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from models.audio.containers.signatures import FORMS, HEAD_BYTES, other_type
from models.audio.windows import open_audio
from models.errors import NotAudio, TruncatedAudio
from tests.sounds import FORMATS, golden, write, write_silent_video


def form(magic: bytes, kind: bytes) -> bytes:
    order = ">" if magic == b"FORM" else "<"
    return magic + struct.pack(f"{order}I", 4 + 2_000) + kind + bytes(2_000)


OTHERS = {
    "WebP": form(b"RIFF", b"WEBP"),
    "AVI": form(b"RIFF", b"AVI "),
    "MIDI": form(b"RIFF", b"RMID"),
    "SoundFont": form(b"RIFF", b"sfbk"),
    "'ABCD'": form(b"RIFF", b"ABCD"),
    "ILBM": form(b"FORM", b"ILBM"),
    "8SVX": form(b"FORM", b"8SVX"),
    "HEIC": struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(2_000),
    "AVIF": struct.pack(">I", 24) + b"ftypavif" + bytes(4) + b"mif1avif" + bytes(2_000),
    "WavPack": b"wvpk" + bytes(2_000),
    "a MIDI": b"MThd" + struct.pack(">IHHH", 6, 1, 2, 96) + b"MTrk" + bytes(2_000),
    "AC-3": b"\x0b\x77" + bytes(2_000),
    "TTA": b"TTA1" + bytes(2_000),
    "DTS": b"\x7f\xfe\x80\x01" + bytes(2_000),
    "transport stream": (b"\x47" + bytes(187)) * 20,
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(2_000),
    "ZIP": b"PK\x03\x04" + bytes(2_000),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(OTHERS[name])
    with pytest.raises(NotAudio, match=name) as refused:
        open_audio(path)
    assert "upload the whole file" not in refused.value.remedy
    assert refused.value.remedy


@pytest.mark.parametrize("kind", FORMATS)
def test_audio_is_of_no_other_kind(tmp_path: Path, kind: str) -> None:
    head = write(tmp_path / f"a.{kind}", golden(1)).read_bytes()[:HEAD_BYTES]
    assert other_type(head) is None


def test_a_film_without_sound_keeps_its_own_error(tmp_path: Path) -> None:
    head = write_silent_video(tmp_path / "a.mp4").read_bytes()[:HEAD_BYTES]
    assert other_type(head) is None


@pytest.mark.parametrize("head", [b"RIFF", b"RIFF\x10\0\0\0WAVE", b"FORM\0\0\0\x10AIFF", b"fLaC"])
def test_a_file_that_is_cut_at_its_beginning_is_truncated(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "cut"
    path.write_bytes(head)
    with pytest.raises(TruncatedAudio):
        open_audio(path)


def test_no_form_is_both_audio_and_another_kind() -> None:
    assert not {b"WAVE", b"AIFF", b"AIFC"} & FORMS.keys()
