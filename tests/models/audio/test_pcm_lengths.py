"""PCM is read to the end of the file, whatever the header of its container states."""

from __future__ import annotations

import struct
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.audio.containers.pcm import find_tail
from models.audio.length import Notes
from models.audio.window_choice import Samples
from models.audio.windows import open_audio
from tests.sounds import golden

RATE = 44_100
# Of the size of the data: where it is after the chunk's name, its format, and how many bytes it
# counts that are no audio.
SIZES = {
    "WAV": (b"data", 4, "<I", 0),
    "WAVEX": (b"data", 4, "<I", 0),
    "AIFF": (b"SSND", 4, ">I", 8),
    "RF64": (b"ds64", 16, "<Q", 0),
    "W64": (b"data", 16, "<Q", 24),
    "CAF": (b"data", 4, ">Q", 4),
}


def understate(content: bytearray, container: str) -> int:
    """State a quarter of the data; the byte at which the data then ends."""
    name, at, size_format, more = SIZES[container]
    at += content.index(name)
    size: int = struct.unpack_from(size_format, content, at)[0]
    struct.pack_into(size_format, content, at, (size - more) // 4 + more)
    if container == "AIFF":
        at = content.index(b"COMM") + 10
        struct.pack_into(">I", content, at, struct.unpack_from(">I", content, at)[0] // 4)
    begin = content.index(name if container != "RF64" else b"data")
    begin += {"AIFF": 16, "W64": 24, "CAF": 16}.get(container, 8)
    return begin + (size - more) // 4


def read(path: Path) -> tuple[Samples, Notes]:
    with closing(open_audio(path)) as reader:
        return reader.read(0, reader.n_samples), reader.notes


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_U8"),
        ("WAV", "ALAW"),
        ("WAVEX", "PCM_24"),
        ("AIFF", "PCM_16"),
        ("AIFF", "PCM_S8"),
        ("AIFF", "ULAW"),
        ("AIFF", "DOUBLE"),
        ("RF64", "FLOAT"),
        ("W64", "PCM_16"),
        ("CAF", "PCM_16"),
    ],
)
def test_pcm_goes_on_where_its_header_states_too_little(
    tmp_path: Path, container: str, codec: str
) -> None:
    path = tmp_path / "a"
    soundfile.write(path, golden(8), RATE, format=container, subtype=codec)
    whole, notes = read(path)
    assert not notes
    content = bytearray(path.read_bytes())
    understate(content, container)
    path.write_bytes(content)
    found, notes = read(path)
    np.testing.assert_array_equal(found, whole)
    assert notes == ("the header promises 2.0 s, the file holds 8.0 s",)


@pytest.mark.parametrize("container", ["WAV", "AIFF", "RF64"])
@pytest.mark.parametrize("rest", [bytes(1 << 20), b"OggS" + b"\1" * (1 << 20)])
def test_padding_and_another_file_behind_pcm_are_no_audio(
    tmp_path: Path, container: str, rest: bytes
) -> None:
    path = tmp_path / "a"
    soundfile.write(path, golden(8), RATE, format=container, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    end = understate(content, container)
    path.write_bytes(content[:end] + rest)
    found, notes = read(path)
    assert found.size == 2 * RATE
    assert notes == (f"the header promises 2.0 s, {len(rest)} bytes follow unread",)


def test_chunks_behind_the_data_are_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, golden(8)[:, :1], RATE, subtype="PCM_U8")
    content = path.read_bytes()[:-1] + struct.pack("<4sI", b"LIST", 1 << 20) + b"\1" * (1 << 20)
    at = content.index(b"data") + 4
    size = struct.unpack_from("<I", content, at)[0] - 1
    for padding in (b"", b"\0"):
        path.write_bytes(
            content[:at]
            + struct.pack("<I", size)
            + content[at + 4 : at + 4 + size]
            + padding
            + content[at + 4 + size :]
        )
        found, notes = read(path)
        assert (found.size, notes) == (size, ())


def test_a_chunk_may_state_any_size(tmp_path: Path) -> None:
    """Of 64 bits, more than a position in a file may be."""
    path = tmp_path / "x.w64"
    soundfile.write(path, golden(1), 44_100, format="W64", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    size_at = content.index(b"fmt ") + 16
    content[size_at : size_at + 8] = b"\xff" * 8
    path.write_bytes(content)
    assert find_tail(path) is None
