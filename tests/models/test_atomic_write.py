"""An atomically written file is complete or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.atomic_write import write_atomically


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with write_atomically(path) as part:
        part.write_text("first")
        assert not path.exists()
        assert list(tmp_path.glob("*.npz")) == []
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("previous")

    def fail() -> None:
        with write_atomically(path) as part:
            part.write_text("half")
            raise RuntimeError("on cue")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "previous"
    assert list(tmp_path.iterdir()) == [path]
