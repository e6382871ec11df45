"""An installation without the extra `train` is told which package is missing, and the remedy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from training import __main__


def test_a_missing_package_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "training.cli.main", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)  # as if it were not installed
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert "typer is not installed" in str(ended.value)
    assert "make train-install" in str(ended.value)


def test_a_package_that_only_a_command_needs_is_named_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = tmp_path / "tracks.csv"
    manifest.touch()
    arguments = ["--manifest", str(manifest), "--audio", str(tmp_path), "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["tasteprint-train", "prepare", *arguments])
    monkeypatch.setitem(sys.modules, "training.audio.manifest", None)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert "training.audio.manifest is not installed" in str(ended.value)
