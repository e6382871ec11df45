"""Leading ID3 tags are skipped, whatever they contain and whatever follows."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from models.audio.containers.id3 import MAX_TAGS, tags_end
from models.audio.windows import open_audio
from models.errors import CorruptAudio
from tests.bombs.good import good
from tests.bombs.streams import id3, id3_frame, mp3_with_many_tags

TAG = id3(id3_frame(b"TXXX", b"\0a\0b") * 20)
COVER = id3(id3_frame(b"APIC", b"\0image/png\0\3\0" + bytes(300_000)))


def end_of(content: bytes, path: Path) -> int:
    path.write_bytes(content)
    return tags_end(path)


def test_tags_end_where_the_audio_begins(tmp_path: Path) -> None:
    path = tmp_path / "x"
    footed = TAG[:5] + b"\x10" + TAG[6:] + b"3DI" + TAG[3:10]
    assert end_of(TAG + b"audio", path) == len(TAG)
    assert end_of(footed + TAG + b"audio", path) == len(footed) + len(TAG)
    for without in (b"", b"ID3", b"fLaC" + TAG, b"ID3\xff" + TAG[4:], TAG[:6] + b"\x80" + TAG[7:]):
        assert end_of(without, path) == 0


@pytest.mark.parametrize("kind", ["mp3", "flac", "wav", "aiff", "ogg", "opus"])
@pytest.mark.parametrize("tags", [TAG + TAG, COVER], ids=["two", "cover"])
def test_audio_behind_tags_is_read_as_without_them(kind: str, tags: bytes, tmp_path: Path) -> None:
    read = []
    for name, before in (("bare", b""), ("tagged", tags)):
        path = tmp_path / name
        path.write_bytes(before + good(kind))
        with closing(open_audio(path)) as reader:
            read.append(reader.read(reader.n_samples // 2, 10_000))
    assert len(read[0]) == 10_000
    np.testing.assert_array_equal(read[0], read[1])


def test_a_hundred_thousand_tags_are_skipped_quickly(tmp_path: Path) -> None:
    path = tmp_path / "tags.mp3"
    path.write_bytes(mp3_with_many_tags())
    before_s = time.process_time()
    with closing(open_audio(path)) as reader:
        assert reader.read(0, 1000).any()
    assert time.process_time() - before_s < 1  # to read them takes twenty


def test_more_tags_than_tools_write_are_refused(tmp_path: Path) -> None:
    assert end_of(TAG * MAX_TAGS, tmp_path / "x") == len(TAG) * MAX_TAGS
    with pytest.raises(CorruptAudio) as caught:
        end_of(TAG * (MAX_TAGS + 1), tmp_path / "x")
    assert (caught.value.value, caught.value.limit) == (MAX_TAGS + 1, MAX_TAGS)
    assert caught.value.remedy
