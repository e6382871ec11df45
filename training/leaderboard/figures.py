"""Figures of a leaderboard: what its table and picture are drawn from, gathered from the results.

They hold scores of folds and costs, and nothing of a track, so that they can be committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from models.atomic_write import write_atomically
from training.errors import MissingInput
from training.leaderboard.cells import CellResult, Cost, read_cells, read_costs, read_settings
from training.leaderboard.entries import Entries, Entry

# Metric → scores of the folds, in their order, each the mean over seeds.
Scores = dict[str, list[float]]


class TaskFigures(BaseModel):
    """One task; the first of `metrics` is what entries are ranked by.

    Attributes
    ----------
    tracks_sha256 : of each fold, see `Identity`, empty where it was not judged: of two runs it
        tells whether they have judged the same tracks
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    metrics: tuple[str, ...]
    n_folds: int
    n_tracks: int
    tracks_sha256: tuple[str, ...] = ()


class EntryFigures(BaseModel):
    """One entry, with its scores by name of the task.

    Attributes
    ----------
    dim : of its vectors
    folds : of the tasks that it was judged on some folds of, which folds those are
    heard : tasks that are left out, as its weights have heard them
    untrained : see `Entry`
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dim: int
    scores: dict[str, Scores]
    folds: dict[str, tuple[int, ...]] = {}
    heard: tuple[str, ...] = ()
    untrained: str | None = None
    note: str = ""
    cost: Cost | None = None

    def folds_of(self, task: TaskFigures) -> Sequence[int]:
        """Folds that the scores of a task are of, in their order."""
        return self.folds.get(task.name, range(task.n_folds))

    def by_fold(self, task: TaskFigures, metric: str) -> dict[int, float]:
        """Fold → score; empty where the entry has not been judged."""
        scores = self.scores.get(task.name, {}).get(metric, [])
        return dict(zip(self.folds_of(task), scores, strict=True)) if scores else {}

    def on_folds(self, folds: Mapping[TaskFigures, set[int]]) -> EntryFigures:
        """The entry with the scores of some folds of some tasks."""
        scores = {
            task.name: {
                metric: [
                    value
                    for fold, value in zip(self.folds_of(task), values, strict=True)
                    if fold in kept
                ]
                for metric, values in self.scores[task.name].items()
            }
            for task, kept in folds.items()
            if task.name in self.scores
        }
        return self.model_copy(update={"scores": scores, "folds": {}})


class Figures(BaseModel):
    """Schema of the file of figures.

    Attributes
    ----------
    probe : see `LeaderboardSettings`
    seeds : numbers of seeds, the smallest and the largest over entries and tasks
    cpu : processor that the costs were timed on
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: str
    probe: str
    min_listeners: int
    seeds: tuple[int, int]
    cpu: str | None
    tasks: tuple[TaskFigures, ...]
    entries: tuple[EntryFigures, ...]

    @classmethod
    def load(cls, path: Path) -> Figures:
        """Read a file of figures.

        Raises
        ------
        MissingInput
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise MissingInput(path, "tasteprint-train leaderboard") from error

    def on_same_folds(self) -> Figures:
        """Scores of the folds that every entry has been judged on, where entries can be compared.

        Tasks of which there is no such fold are left out.
        """
        same = {}
        for task in self.tasks:
            judged = [entry for entry in self.entries if task.name in entry.scores]
            folds = set(range(task.n_folds))
            same[task] = folds.intersection(*(entry.folds_of(task) for entry in judged))
        same = {task: folds for task, folds in same.items() if folds}
        tasks = [task.model_copy(update={"n_folds": len(folds)}) for task, folds in same.items()]
        entries = [entry.on_folds(same) for entry in self.entries]
        return self.model_copy(update={"tasks": tuple(tasks), "entries": tuple(entries)})

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as part:
            part.write_text(self.model_dump_json(indent=1, exclude_defaults=True) + "\n")


def collect(out: Path, entries: Entries) -> Figures:
    """The figures of the entries that have results, in the order of the file of entries.

    Raises
    ------
    MissingInput, MixedResults, MixedInputs
    """
    cells, settings, costs = read_cells(out), read_settings(out), read_costs(out)
    tasks = [
        _describe_task([cell for cell in cells if cell.task == name])
        for name in sorted({cell.task for cell in cells})
    ]
    found = []
    for entry in entries.entries:
        own = [cell for cell in cells if cell.entry == entry.name]
        if own:
            cost = costs.entries.get(entry.name) if costs else None
            found.append(_describe_entry(entry, own, tasks, cost))
    n_seeds = _count_seeds(cells)
    return Figures(
        baseline=entries.baseline,
        probe=settings.probe,
        min_listeners=settings.min_listeners,
        seeds=(min(n_seeds), max(n_seeds)),
        cpu=costs.cpu if costs else None,
        tasks=tuple(tasks),
        entries=tuple(found),
    )


def _describe_task(cells: Sequence[CellResult]) -> TaskFigures:
    metrics = dict.fromkeys(name for cell in cells for name in cell.metrics)
    first = cells[0]
    digests = {cell.fold: cell.identity.tracks_sha256 for cell in cells}
    return TaskFigures(
        name=first.task,
        metrics=tuple(metrics),
        n_folds=first.n_folds,
        n_tracks=first.n_tracks,
        tracks_sha256=tuple(digests.get(fold, "") for fold in range(first.n_folds)),
    )


def _describe_entry(
    entry: Entry, cells: Sequence[CellResult], tasks: Sequence[TaskFigures], cost: Cost | None
) -> EntryFigures:
    scores = {
        task.name: _scores([cell for cell in cells if cell.task == task.name], task.metrics)
        for task in tasks
    }
    judged = {name: found for name, found in scores.items() if found}
    folds = {
        task.name: tuple(sorted({cell.fold for cell in cells if cell.task == task.name}))
        for task in tasks
    }
    return EntryFigures(
        name=entry.name,
        dim=cells[0].dim,
        scores=judged,
        folds={
            task.name: folds[task.name]
            for task in tasks
            if task.name in judged and len(folds[task.name]) < task.n_folds
        },
        heard=tuple(
            task.name for task in tasks if task.name not in judged and entry.has_heard(task.name)
        ),
        untrained=entry.untrained,
        note=entry.note,
        cost=cost,
    )


def _scores(cells: Sequence[CellResult], metrics: Sequence[str]) -> Scores:
    """Mean over the seeds of each fold; of a metric that some fold lacks, nothing."""
    folds = sorted({cell.fold for cell in cells})
    scores: Scores = {}
    for metric in metrics:
        by_fold = [
            [cell.metrics[metric] for cell in cells if cell.fold == fold and metric in cell.metrics]
            for fold in folds
        ]
        if folds and all(by_fold):
            scores[metric] = [round(float(np.mean(values)), 4) for values in by_fold]
    return scores


def _count_seeds(cells: Sequence[CellResult]) -> list[int]:
    seeds: dict[tuple[str, str], set[int]] = {}
    for cell in cells:
        seeds.setdefault((cell.entry, cell.task), set()).add(cell.seed)
    return [len(found) for found in seeds.values()]
