"""`runs` finds the folders of every command, and shows what differs between some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from training.cli.main import app
from training.errors import MissingInput
from training.runs.comparison import compare, main_measures
from training.runs.folders import find_runs, read_run

RESULT = {
    "task": "genre",
    "method": "kd",
    "width": 32,
    "fold": 0,
    "seed": 0,
    "settings": {"batch_size": 8},
    "metrics": {"accuracy": 0.5, "macro_f1": 0.4},
}
MEASURED = {"groups": {"songs": {"methods": {"network": {"user_auc": [0.7, 0.6, 0.8]}}}}}


def write_fit(folder: Path, loss: float, **settings: Any) -> None:
    (folder / "logs" / "version_0").mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    steps = pd.DataFrame({"step": [1, 2], "val_loss": [loss + 1, loss], "val_cosine": [0.1, 0.2]})
    steps.to_csv(folder / "logs" / "version_0" / "metrics.csv", index=False)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Two fits, one with its command and environment, an evaluation, `mine` and a result."""
    write_fit(tmp_path / "deep" / "first", 0.5, width=32, seed=0)
    write_fit(tmp_path / "second", 0.3, width=64, seed=0)
    (tmp_path / "second" / "kind.txt").write_text("similarity\n")
    packages = {"packages": {"torch": "2.11.0"}}
    (tmp_path / "second" / "environment.json").write_text(json.dumps(packages))
    (tmp_path / "second" / "curves.svg").write_text("<svg/>")
    for name in ("evaluation", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "measures.json").write_text(json.dumps(MEASURED))
    # A fold of `mine` is a part of the run, and no run of its own.
    (tmp_path / "mine" / "songs").mkdir()
    write_fit(tmp_path / "mine" / "fold0", 0.1)
    (tmp_path / "compared").mkdir()
    (tmp_path / "compared" / "kd-w32.json").write_text(json.dumps(RESULT))
    (tmp_path / "compared" / "damaged.json").write_text("{")
    write_fit(tmp_path / "compared" / "kd-w32", 0.2)  # the folder of the result
    (tmp_path / "compared" / "kd-w32" / "map.svg").write_text("<svg/>")
    return tmp_path


def test_runs_of_every_command_are_found_with_their_measures(top: Path) -> None:
    found = {str(run.path.relative_to(top)): run for run in find_runs(top)}
    assert {name: run.kind for name, run in found.items()} == {
        "compared/kd-w32.json": "compare",
        "deep/first": "estimator",
        "evaluation": "evaluate",
        "mine": "mine",
        "second": "similarity",
    }
    assert found["deep/first"].measures == {"val_loss": 0.5, "val_cosine": 0.2}
    assert found["mine"].measures == {"songs/user_auc": 0.7}
    assert found["compared/kd-w32.json"].settings["method"] == "kd"
    assert [path.name for path in found["second"].pictures] == ["curves.svg"]
    assert [path.name for path in found["compared/kd-w32.json"].pictures] == ["map.svg"]
    assert list(main_measures(found["compared/kd-w32.json"])) == ["accuracy", "macro_f1"]


def test_a_comparison_has_the_settings_that_differ_and_every_measure(top: Path) -> None:
    table = compare([read_run(top / "deep" / "first"), read_run(top / "second")])
    rows = table.set_index("")[["first", "second"]].T.to_dict("list")
    assert rows == {
        "command": ["estimator", "similarity"],
        "width": ["32", "64"],
        "torch": ["", "2.11.0"],
        "val_loss": ["0.5000", "0.3000"],
        "val_cosine": ["0.2000", "0.2000"],
    }


def test_the_command_lists_compares_and_refuses_what_is_no_run(top: Path) -> None:
    def run(*arguments: object) -> Any:
        return CliRunner().invoke(
            app, ["runs", *map(str, arguments)], env={"COLUMNS": "200"}, terminal_width=200
        )

    listed = run("--in", top, "--json")
    stated = json.loads(listed.output)
    assert len(stated) == 5
    assert stated[-1]["environment"]["packages"] == {"torch": "2.11.0"}
    compared = run("--compare", top / "second", "--compare", top / "mine")
    assert "similarity" in compared.output
    assert "0.7000" in compared.output
    for path in (top / "nonesuch", top / "compared"):
        assert isinstance(run("--compare", path).exception, MissingInput)
    assert isinstance(run("--in", top / "nonesuch").exception, MissingInput)
