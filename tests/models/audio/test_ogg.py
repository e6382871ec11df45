"""A truncated Ogg file is detected by its last page."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from models.audio.containers.ogg import missing_bytes
from models.audio.window_choice import WindowChoice
from models.audio.windows import open_audio, read_windows
from models.card import AudioInput
from models.errors import TruncatedAudio
from tests.sounds import golden, write

AUDIO = AudioInput(sample_rate=16_000, window_s=2, short_audio="repeat", min_audio_s=0.5)


@pytest.fixture(scope="module", params=["ogg", "opus"])
def content(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> bytes:
    folder = tmp_path_factory.mktemp("ogg")
    return write(folder / f"whole.{request.param}", golden(8)).read_bytes()


def pages(content: bytes) -> list[int]:
    """Where they begin."""
    found, at = [], content.find(b"OggS")
    while at >= 0:
        found.append(at)
        at = content.find(b"OggS", at + 1)
    return found


def test_a_file_cut_anywhere_is_refused(content: bytes, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    ends = {*random.integers(len(content) // 10, len(content), 20), len(content) - 1}
    for end in ends - set(pages(content)):
        path = tmp_path / "cut"
        path.write_bytes(content[:end])
        with pytest.raises(TruncatedAudio):
            read_windows(path, AUDIO, WindowChoice())
    # A header that is cut, or its table of lengths.
    for extra in (5, 26, 28):
        path.write_bytes(content[: pages(content)[-1] + extra])
        assert missing_bytes(path) > 0


def test_a_whole_file_and_a_recording_that_just_stopped_are_read(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "whole"
    path.write_bytes(content)
    with closing(open_audio(path)) as reader:
        assert reader.n_samples / reader.sample_rate == pytest.approx(8, abs=0.02)
    path.write_bytes(content[: pages(content)[-2]])
    with closing(open_audio(path)) as reader:
        assert 4 < reader.n_samples / reader.sample_rate < 8


def test_other_data_after_the_last_page_is_not_checked(tmp_path: Path) -> None:
    path = tmp_path / "other"
    for other in (b"", b"abc", bytes(100_000)):
        path.write_bytes(other)
        assert missing_bytes(path) == 0
