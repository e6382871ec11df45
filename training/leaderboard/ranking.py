"""Ranks and gains of the entries of a leaderboard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.leaderboard.figures import EntryFigures, Figures, TaskFigures


@dataclass(frozen=True)
class MeanOverTasks:
    """A mean, and the number of tasks that it is over."""

    value: float
    n_tasks: int


def fold_scores(entry: EntryFigures, task: TaskFigures) -> list[float] | None:
    """Scores of every fold by the task's first metric; None where folds are missing."""
    scores = entry.scores.get(task.name, {}).get(task.metrics[0], [])
    return scores if len(scores) == task.n_folds else None


def rank_entries(figures: Figures, task: TaskFigures) -> dict[str, float]:
    """Rank of each entry by its mean over the folds: 1 is the best, equal means share a rank.

    Entries that lack folds have no rank.
    """
    found = {entry.name: fold_scores(entry, task) for entry in figures.entries}
    means = {name: float(np.mean(scores)) for name, scores in found.items() if scores}
    return {
        name: 1
        + sum(other > mean for other in means.values())
        + (sum(other == mean for other in means.values()) - 1) / 2
        for name, mean in means.items()
    }


def mean_ranks(figures: Figures) -> dict[str, MeanOverTasks]:
    """Mean of an entry's ranks over the tasks that it has one on; entries without any are absent.

    A task that an entry is left out of counts for it neither way.
    """
    by_task = [rank_entries(figures, task) for task in figures.tasks]
    ranks: dict[str, MeanOverTasks] = {}
    for entry in figures.entries:
        own = [ranked[entry.name] for ranked in by_task if entry.name in ranked]
        if own:
            ranks[entry.name] = MeanOverTasks(float(np.mean(own)), len(own))
    return ranks


def mean_gain(figures: Figures, entry: EntryFigures, other: EntryFigures) -> MeanOverTasks | None:
    """Mean difference of two entries in points, over the tasks that both have been judged on.

    The difference on a task is that of the means over the folds that both have been judged on,
    times 100: points of accuracy, of explained variance, of user AUC.
    """
    differences = task_differences(figures, entry, other)
    if not differences:
        return None
    return MeanOverTasks(float(np.mean(list(differences.values()))), len(differences))


def task_differences(
    figures: Figures, entry: EntryFigures, other: EntryFigures
) -> dict[str, float]:
    """Difference in points on each task that both have been judged on, over the same folds."""
    differences = {}
    for task in figures.tasks:
        metric = task.metrics[0]
        scores, others = entry.by_fold(task, metric), other.by_fold(task, metric)
        pairs = [(scores[fold], others[fold]) for fold in scores if fold in others]
        if pairs:
            differences[task.name] = 100 * float(np.mean([one - two for one, two in pairs]))
    return differences


def find_entry(figures: Figures, name: str | None) -> EntryFigures | None:
    return next((entry for entry in figures.entries if entry.name == name), None)
