"""`tasteprint classify` and `analyze`: what the service answers, for a folder of songs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bundles import write_task
from tests.running import ROOT, Service
from tests.service.cli.conftest import N_SONGS, Run


def test_labels_are_those_of_the_service(
    service: Service, clips: dict[str, Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEPRINT_MODELS_DIR", str(ROOT / "models"))
    monkeypatch.setenv("TASTEPRINT_DEFAULT_MODEL", "cf-estimator")
    expected = service.answer("/classify/genre", clips["mp3"])
    monkeypatch.setenv("TASTEPRINT_PRECISION", expected["model"]["precision"])
    result = run("classify", "genre", clips["mp3"], "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["file"] == str(clips["mp3"])
    assert answer["models"]["genre"]["labels"] == expected["labels"]
    assert answer["audio"] == expected["audio"]


def test_a_folder_is_analysed_by_the_default_models(songs: Path, tmp_path: Path, run: Run) -> None:
    write_task(tmp_path / "models", "mood")
    write_task(tmp_path / "models", "arousal", "regressor", task="arousal")
    result = run("analyze", songs)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 3 * N_SONGS  # the encoder, the classifier, the regressor
    (line,) = [line for line in lines if f"{songs / 'album 0' / '0.wav'}  mood: " in line]
    assert line.count(",") >= 1
    one = run("analyze", songs, "--models", "mood", "--json")
    assert [list(json.loads(line)["models"]) for line in one.stdout.splitlines()] == (
        N_SONGS * [["mood"]]
    )


def test_a_file_that_fails_is_named_and_the_others_are_answered(
    songs: Path, tmp_path: Path, run: Run
) -> None:
    bad = tmp_path / "bad.mp3"
    bad.write_text("no audio")
    write_task(tmp_path / "models", "mood")
    result = run("classify", "mood", bad, songs)
    assert result.exit_code == 3
    assert str(bad) in result.stderr
    assert "1 files failed" in result.stderr
    assert len(result.stdout.splitlines()) == N_SONGS


def test_an_unknown_task_or_model_is_one_line(songs: Path, tmp_path: Path, run: Run) -> None:
    write_task(tmp_path / "models", "mood")
    result = run("classify", "nonesuch", songs)
    assert result.exit_code == 1
    assert "no model has the task 'nonesuch'" in result.stderr
    assert "mood" in result.stderr
    result = run("analyze", songs, "--models", "mood,nonesuch")
    assert result.exit_code == 1
    assert "nonesuch" in result.stderr
