"""Songs in a folder, and the command line in process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from tests.bundles import write_bundle
from tests.sounds import golden, write

N_SONGS = 6
Run = Callable[..., Result]


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of songs of two seconds, in subfolders, beside what is no song."""
    folder = tmp_path_factory.mktemp("songs")
    for index in range(N_SONGS):
        path = folder / f"album {index % 2}" / f"{index}.wav"
        path.parent.mkdir(exist_ok=True)
        write(path, golden(2.0, 16_000, 1, seed=index), 16_000)
    (folder / "album 0" / "0.txt").write_text("words of the song")
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `tasteprint` with one small model."""
    write_bundle(tmp_path / "models", "levels")
    monkeypatch.setenv("TASTEPRINT_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("TASTEPRINT_DEFAULT_MODEL", "levels")
    monkeypatch.setenv("TASTEPRINT_DECODE_WORKERS", "1")

    def invoke(*arguments: object, stdin: str = "") -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)

    return invoke
