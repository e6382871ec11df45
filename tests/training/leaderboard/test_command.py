"""`tasteprint-train leaderboard`: from bundles to the page, and redrawn without them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.leaderboard.world import write_world
from training.cli.main import app
from training.errors import OtherFigures
from training.leaderboard.figures import Figures
from training.leaderboard.page import BEGIN, END


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    write_world(folder)
    part = {"bundle": str(folder / "models" / "quarters"), "output": "quarters"}
    absent = {"bundle": str(folder / "models" / "absent")}
    entries = [
        {"name": "mel statistics", "parts": [{"source": "mel statistics"}]},
        {"name": "quarters", "parts": [part], "note": "levels of quarters."},
        {"name": "absent", "parts": [absent]},
    ]
    stated = {"baseline": "mel statistics", "entries": entries}
    (folder / "entries.json").write_text(json.dumps(stated))
    (folder / "board.md").write_text(f"# Board\n{BEGIN}\n{END}\n")
    return folder


def run(folder: Path, *options: str) -> tuple[int, str]:
    arguments = ["--out", "out", "--entries", "entries.json", *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = CliRunner().invoke(app, ["leaderboard", *arguments], env={"COLUMNS": "200"})
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.output


def test_the_board_is_judged_drawn_and_redrawn(folder: Path) -> None:
    tasks = ("--task", "tasks/quarter")
    code, output = run(folder, *tasks, "--only", "quarters", "--folds", "0,1")
    assert code == 0
    assert output.count("quarters on noise-") == 2
    assert "2 of 5 folds" in output
    code, output = run(folder, *tasks, "--page", "board.md")
    assert code == 0
    assert output.count("quarters on noise-") == 3
    assert output.count("mel statistics on noise-") == 5
    assert "absent is left out: there is no bundle" in " ".join(output.split())
    page = (folder / "board.md").read_text()
    assert "| quarters | 4 | 1.0 | +" in page
    assert "- quarters: levels of quarters." in page
    figures = Figures.load(folder / "board" / "figures.json")
    assert [entry.name for entry in figures.entries] == ["mel statistics", "quarters"]
    assert figures.entries[1].cost
    # Nothing of a track, and no file of this machine.
    committed = (folder / "board" / "figures.json").read_text()
    assert "artist" not in committed
    assert str(folder) not in committed
    drawn = page, (folder / "board" / "leaderboard.svg").read_text()
    code, output = run(folder, "--page", "board.md")
    assert code == 0
    assert "on noise-quarter, fold" not in output
    assert ((folder / "board.md").read_text(), drawn[1]) == drawn


def test_entries_of_earlier_figures_stand_beside_those_judged_elsewhere(folder: Path) -> None:
    tasks = ("--task", "tasks/quarter")
    assert run(folder, *tasks, "--out", "earlier")[0] == 0
    fresh = ("--out", "fresh", "--keep", "earlier/figures.json")
    code, output = run(folder, *tasks, *fresh, "--only", "mel statistics")
    assert code == 0
    assert output.count(" on noise-quarter, fold") == 5
    found, earlier = (Figures.load(folder / name / "figures.json") for name in ("fresh", "earlier"))
    assert [entry.name for entry in found.entries] == ["mel statistics", "quarters"]
    assert found.entries[1].scores == earlier.entries[1].scores
    recipe = ("--out", "other", "--probe", "rbf-svm", "--keep", "earlier/figures.json")
    with pytest.raises(OtherFigures, match="probe 'logistic' in place of 'rbf-svm'"):
        run(folder, *tasks, *recipe, "--only", "mel statistics", "--folds", "0")


def test_options_that_belong_together_are_asked_for(folder: Path) -> None:
    code, output = run(folder, "--recordings", "tasks/quarter")
    assert code == 2
    assert "recordings, factors, split and logs are given together" in output
    three = ("--recordings", "tasks/quarter", "--factors", "f", "--split", "s")
    code, output = run(folder, *three, "--logs", "entries.json")
    assert code == 2
    assert "f has no {fold}" in output
