"""Tables of papers by the command line: columns of runs, votes and means, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from tests.training.objectives.clips import make_tones
from tests.training.tasks import make_task
from training.audio.manifest import read_ids
from training.cli.main import app
from training.datasets.prepared import TaskData
from training.errors import BadColumns, BadEncoder, HeardArtists, MissingInput
from training.evaluation.sets import EvaluationSets
from training.papers.columns import Column, Output, Source, patch_vectors
from training.papers.table import draw_table, redraw
from training.similarity.settings import SimilaritySettings
from training.similarity.train import train
from training.transfer.results import Cell, write_result
from training.transfer.results import Result as TransferResult

SETTINGS = SimilaritySettings(
    width=8,
    max_epochs=20,
    learning_rate=0.02,
    batch_size=8,
    negatives=1,
    validation_draws=1,
    accelerator="cpu",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of high and low tones; `heard`, a run on its artists' names, and `unheard`."""
    folder = tmp_path_factory.mktemp("papers")
    make_task(folder / "task", n_tracks=40)
    tones = make_tones(4, 4)
    train(tones, None, folder / "heard", SETTINGS, by_song=True, show_progress=False)
    shutil.copytree(folder / "heard", folder / "unheard")
    path = folder / "unheard" / "clips.csv"
    clips = read_ids(path)
    clips.assign(artist="singer of " + clips["artist"]).to_csv(path, index=False)
    return folder


def run(world: Path, table: str, *words: object, out: str = "out") -> Result:
    common = ("--table", table, "--task", world / "task" / "prepared", "--out", world / out)
    return CliRunner().invoke(
        app, ["paper-table", *map(str, (*common, *words))], env={"COLUMNS": "300"}
    )


def test_patches_are_heard_one_by_one(world: Path) -> None:
    source = Source.load(world / "unheard")
    sets = EvaluationSets.load([world / "task" / "prepared"])
    found = patch_vectors(source, "features", sets, lambda label, starts: starts)
    windows = sets.heard[0].joined.waveforms(sets.heard[0].rows[:2])
    patches = torch.from_numpy(windows.reshape(20, 48_000))
    with torch.inference_mode():
        expected = source.network(source.network.make_front_end()(patches)).features
    np.testing.assert_allclose(found[:2].reshape(20, -1), expected.numpy(), atol=1e-4)
    kept = list((world / "task" / "prepared").glob("every-patch-*.npz"))
    assert len(kept) == 1
    again = patch_vectors(source, "features", sets, lambda label, starts: starts)
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("table", ["002-1", "003", "004-2"])
def test_features_of_a_run_tell_high_tones_from_low_ones(world: Path, table: str) -> None:
    one, two = f"one={world}/unheard", f"two={world}/unheard:features+{world}/unheard:embedding"
    done = run(world, table, "--column", one, "--column", two, "--folds", "0,1", out=table)
    assert done.exit_code == 0, done.output
    measures = json.loads((world / table / "measures.json").read_text())
    task = measures["tasks"]["tones-classification"]
    assert task["folds"] == [0, 1]
    assert (task["n_tracks"], task["n_artists"]) == (40, 20)
    assert {name: len(values) for name, values in task["accuracy"].items()} == {"one": 2, "two": 2}
    assert np.mean(task["accuracy"]["one"]) > 0.75
    report = (world / table / "report.md").read_text()
    assert "| tones-classification | 40 | 20 | 2 | 0.500 |" in report
    assert redraw(world / table) == report
    assert str(world) not in report


def test_a_run_on_artists_of_the_task_is_refused(world: Path) -> None:
    tracks = TaskData.load(world / "task" / "prepared").prepared.tracks
    fold = tracks.loc[tracks["artist"] == "artist 0", "fold"].iloc[0]
    refused = run(world, "004-2", "--column", f"one={world}/heard", "--folds", fold)
    assert isinstance(refused.exception, HeardArtists)


def test_what_was_trained_directly_is_the_first_column(world: Path) -> None:
    column = ("--column", f"artist={world}/unheard", "--direct", world / "compared")
    refused = run(world, "004-2", *column, "--folds", "0", out="direct")
    assert isinstance(refused.exception, MissingInput)
    for seed, accuracy in ((0, 0.25), (1, 0.75)):
        result = TransferResult(
            task="tones-classification",
            kind="classification",
            labels=("high", "low"),
            method="base",
            width=4,
            fold=0,
            seed=seed,
            counts={},
            metrics={"accuracy": accuracy},
            seconds=1.0,
            tracks=("a",),
            targets=[0],
            predicted=[0],
        )
        write_result(world / "compared" / Cell("base", 4, 0, seed).file, result)
    done = run(world, "004-2", *column, "--folds", "0", out="direct")
    assert done.exit_code == 0, done.output
    report = (world / "direct" / "report.md").read_text()
    assert "| trained directly | artist |" in report
    assert "| tones-classification | 40 | 20 | 1 | 0.500 | 0.500 | " in report
    assert "| GTZAN, fault-filtered | 0.547 | 0.724 | 0.652 | 0.564 | 0.745 |" in report


def test_columns_are_read_from_text() -> None:
    assert Column.parse("with = runs/f{fold}/a:max_pool + b") == Column(
        "with", (Output("runs/f{fold}/a", "max_pool"), Output("b", "features"))
    )
    assert Output("runs/f{fold}/a", "x").of_fold(3) == Path("runs/f3/a")
    for text in ("", "name", "=a:b", "name=", "name=a:b+"):
        with pytest.raises(BadEncoder, match="is no column; write NAME=FOLDER"):
            Column.parse(text)


def test_columns_tables_and_outputs_that_are_not_there_are_refused(world: Path) -> None:
    column = f"one={world}/unheard"
    assert isinstance(run(world, "004-2").exception, BadColumns)
    twice = run(world, "004-2", "--column", column, "--column", column)
    assert isinstance(twice.exception, BadColumns)
    absent = run(world, "004-2", "--column", f"{column}:levels")
    assert isinstance(absent.exception, BadEncoder)
    none = run(world, "004-2", "--column", f"one={world}/nothing")
    assert isinstance(none.exception, MissingInput)
    unknown = run(world, "004-9", "--column", column)
    assert unknown.exit_code == 2
    assert "not one of 002-1, 003" in unknown.output


def test_numbers_of_the_paper_are_of_other_data() -> None:
    content = {"table": "003", "columns": ["a"], "tasks": {}}
    assert "figures, without numbers" in draw_table(content)
    assert "In the paper, on other data" in draw_table(content | {"table": "004-4"})
