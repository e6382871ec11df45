"""Ranks, mean ranks and gains, computed by hand."""

from __future__ import annotations

import pytest

from training.leaderboard.figures import EntryFigures, Figures, TaskFigures
from training.leaderboard.ranking import (
    MeanOverTasks,
    find_entry,
    mean_gain,
    mean_ranks,
    rank_entries,
    task_differences,
)

GENRE = TaskFigures(name="genre", metrics=("accuracy", "macro_f1"), n_folds=2, n_tracks=9)
GEMS = TaskFigures(name="gems", metrics=("r2",), n_folds=2, n_tracks=8)


def entry(name: str, genre: list[float], gems: list[float]) -> EntryFigures:
    scores = {"genre": {"accuracy": genre}, "gems": {"r2": gems}}
    judged = {task: found for task, found in scores.items() if any(found.values())}
    folds = {
        task: tuple(range(2 - len(values), 2))  # of one fold, the last one
        for task, found in judged.items()
        for values in found.values()
        if len(values) < 2
    }
    return EntryFigures(name=name, dim=4, scores=judged, folds=folds)


def make_figures(*entries: EntryFigures) -> Figures:
    return Figures(
        baseline="mel",
        probe="logistic",
        min_listeners=10,
        seeds=(1, 1),
        cpu=None,
        tasks=(GENRE, GEMS),
        entries=entries,
    )


FIGURES = make_figures(
    entry("mel", [0.4, 0.6], [0.1, 0.1]),  # 0.5, 0.1
    entry("tagger", [0.7, 0.7], [0.3, 0.1]),  # 0.7, 0.2
    entry("twin", [0.8, 0.6], [0.0, 0.0]),  # 0.7, 0.0
    entry("heard", [], [0.4, 0.4]),  # -, 0.4
    entry("stopped", [0.9], [0.05, 0.05]),  # one fold of two, 0.05
)


def test_the_highest_mean_over_folds_has_rank_1_and_equal_means_share_a_rank() -> None:
    assert rank_entries(FIGURES, GENRE) == {"mel": 3, "tagger": 1.5, "twin": 1.5}


def test_an_entry_without_every_fold_has_no_rank() -> None:
    assert "stopped" not in rank_entries(FIGURES, GENRE)
    assert "heard" not in rank_entries(FIGURES, GENRE)
    ranks = {"mel": 3, "tagger": 2, "twin": 5, "heard": 1, "stopped": 4}
    assert rank_entries(FIGURES, GEMS) == ranks


def test_the_mean_rank_is_over_the_tasks_that_an_entry_is_judged_on() -> None:
    assert mean_ranks(FIGURES) == {
        "mel": MeanOverTasks(3, 2),
        "tagger": MeanOverTasks(1.75, 2),
        "twin": MeanOverTasks(3.25, 2),
        "heard": MeanOverTasks(1, 1),
        "stopped": MeanOverTasks(4, 1),
    }


def test_the_gain_is_the_mean_difference_in_points_over_common_tasks() -> None:
    mel, tagger, heard = (find_entry(FIGURES, name) for name in ("mel", "tagger", "heard"))
    assert mel is not None
    assert tagger is not None
    assert heard is not None
    differences = task_differences(FIGURES, tagger, mel)
    assert differences == pytest.approx({"genre": 20, "gems": 10})
    gain = mean_gain(FIGURES, tagger, mel)
    assert gain
    assert gain.value == pytest.approx(15)
    assert gain.n_tasks == 2
    gain = mean_gain(FIGURES, heard, mel)
    assert gain
    assert gain.value == pytest.approx(30)
    assert gain.n_tasks == 1


def test_an_entry_with_some_folds_is_compared_on_these_folds() -> None:
    stopped, mel = entry("stopped", [0.9], []), entry("mel", [0.4, 0.6], [0.1, 0.1])
    gain = mean_gain(make_figures(stopped, mel), stopped, mel)
    assert gain
    assert gain.value == pytest.approx(30)  # 0.9 against 0.6 in the last fold
    assert gain.n_tasks == 1


def test_there_is_no_gain_without_a_common_task() -> None:
    gems_alone, genre_alone = entry("tagger", [], [0.9, 0.9]), entry("mel", [0.4, 0.6], [])
    figures = make_figures(gems_alone, genre_alone)
    assert mean_gain(figures, gems_alone, genre_alone) is None
