"""Figures are gathered from results: means over seeds, what was heard, and nothing of a track."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.errors import MissingInput
from training.leaderboard.cells import (
    CellResult,
    Cost,
    Costs,
    Identity,
    open_run,
    write_cell,
    write_costs,
)
from training.leaderboard.entries import Entries, Entry, Part
from training.leaderboard.figures import collect
from training.leaderboard.settings import LeaderboardSettings

MEL = Entry(name="mel", parts=(Part(source="mel statistics"),))
TAGGER = Entry(
    name="tagger", parts=(Part(bundle="models/a", heard=("mood",)),), untrained="mel", note="a note"
)
ENTRIES = Entries(baseline="mel", entries=(MEL, TAGGER))


def write_result(
    out: Path, entry: str, task: str, fold: int, seed: int, metrics: dict[str, float]
) -> None:
    result = CellResult(
        entry=entry,
        task=task,
        fold=fold,
        seed=seed,
        n_folds=2,
        n_tracks=9,
        dim=7,
        metrics=metrics,
        settings={"kind": "logistic", "C": 0.1},
        counts={"train": 5, "test": 4},
        identity=Identity(inputs=("a",), tracks_sha256=f"{task} {fold}"),
        seconds=0.1,
    )
    write_cell(out / "cells" / task / f"{entry}-f{fold}-s{seed}.json", result)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    open_run(tmp_path, LeaderboardSettings())
    for fold in (0, 1):
        write_result(tmp_path, "mel", "mood", fold, 0, {"accuracy": 0.4 + fold / 10})
    for seed, accuracy in ((0, 0.6), (1, 0.7)):
        write_result(tmp_path, "tagger", "genre", 0, seed, {"accuracy": accuracy})
    return tmp_path


def test_scores_are_means_over_seeds_for_each_fold(out: Path) -> None:
    figures = collect(out, ENTRIES)
    mel, tagger = figures.entries
    assert mel.scores == {"mood": {"accuracy": [0.4, 0.5]}}
    assert tagger.scores == {"genre": {"accuracy": [0.65]}}
    assert figures.seeds == (1, 2)
    tasks = [(task.name, task.metrics, task.n_folds, task.n_tracks) for task in figures.tasks]
    assert tasks == [("genre", ("accuracy",), 2, 9), ("mood", ("accuracy",), 2, 9)]


def test_a_task_without_results_is_heard_where_the_entry_says_so_and_else_not_run(
    out: Path,
) -> None:
    mel, tagger = collect(out, ENTRIES).entries
    assert tagger.heard == ("mood",)
    assert mel.heard == ()
    assert (tagger.dim, tagger.untrained, tagger.note) == (7, "mel", "a note")


def test_costs_are_those_of_the_entry_and_a_metric_that_a_fold_lacks_is_left_out(
    out: Path,
) -> None:
    cost = Cost(bundles=("d",), parameters=3, mflop=1.5, ms={"float32": 2.0})
    write_costs(out, Costs(cpu="a CPU", entries={"tagger": cost}))
    write_result(out, "mel", "listeners", 0, 0, {"user_auc": 0.7, "who_listens": 0.1})
    write_result(out, "mel", "listeners", 1, 0, {"user_auc": 0.8})
    figures = collect(out, ENTRIES)
    mel, tagger = figures.entries
    assert (figures.cpu, mel.cost, tagger.cost) == ("a CPU", None, cost)
    assert mel.scores["listeners"] == {"user_auc": [0.7, 0.8]}


def test_entries_that_the_file_does_not_name_are_left_out(out: Path) -> None:
    figures = collect(out, Entries(baseline="mel", entries=(MEL,)))
    assert [entry.name for entry in figures.entries] == ["mel"]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="tasteprint-train leaderboard"):
        collect(tmp_path, ENTRIES)
