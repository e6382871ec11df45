"""Grid of a leaderboard's cells: those that have a result are skipped, the others are judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from training.datasets.prepared import TaskData
from training.fitting.processes import map_in_processes
from training.leaderboard.cells import Cell, CellResult, Identity, read_cell, write_cell
from training.leaderboard.entries import Entry
from training.leaderboard.listeners import ListenerFiles, ListenersTask
from training.leaderboard.settings import LeaderboardSettings
from training.leaderboard.tasks import JudgedTask, LabelledTask
from training.leaderboard.vectors import Input, find_inputs, vectors_of
from training.networks.inference import Track


@dataclass(frozen=True)
class TaskSource:
    """Files of one task: sent to worker processes in place of its windows.

    Attributes
    ----------
    folders : of a labelled task; empty for the task of listeners
    """

    folders: tuple[Path, ...] = ()
    listeners: ListenerFiles | None = None

    def load(self) -> JudgedTask:
        """The task; a process loads each task once."""
        return _load(self)


@cache
def _load(source: TaskSource) -> JudgedTask:
    if source.listeners is not None:
        return ListenersTask(source.listeners)
    return LabelledTask(source.folders)


def task_sources(
    folders: Sequence[Path], listeners: ListenerFiles | None = None
) -> list[TaskSource]:
    """One source for each task, in the order of the folders; folders of one task together.

    Raises
    ------
    MissingInput
    """
    by_name: dict[str, list[Path]] = {}
    for folder in folders:
        by_name.setdefault(TaskData.load(folder).facts.name, []).append(folder)
    found = [TaskSource(tuple(group)) for group in by_name.values()]
    return [*found, TaskSource(listeners=listeners)] if listeners else found


@dataclass(frozen=True)
class Job:
    """A cell to judge, and the files of its task."""

    cell: Cell
    source: TaskSource


def plan(
    entries: Sequence[Entry],
    sources: Sequence[TaskSource],
    out: Path,
    *,
    folds: Sequence[int] = (),
    seeds: Sequence[int] = (0,),
    tell: Callable[[str], None] = lambda text: None,
) -> list[Job]:
    """The cells without a result of their inputs and tracks, seeds outermost.

    Parameters
    ----------
    folds : to judge; empty for all
    tell : called once for each entry and task that is left out, as its weights have heard it, or
        is judged on some of the folds, as encoders were trained for no others

    Raises
    ------
    BundleError, BadEncoder, HeardTask, BadDataset, and those of the tasks
    """
    jobs = []
    for seed in seeds:
        for entry in entries:
            for source in sources:
                task = source.load()
                wanted = [fold for fold in range(task.n_folds) if not folds or fold in folds]
                chosen = _trained_folds(entry, task, wanted)
                if len(chosen) < len(wanted) and seed == seeds[0]:
                    left = f"encoders of folds {chosen} only" if chosen else "no encoders of folds"
                    tell(f"{entry.name} on {task.name}: {left}")
                found = {fold: find_inputs(entry, task, fold) for fold in chosen}
                if any(inputs is None for inputs in found.values()):
                    if seed == seeds[0]:
                        tell(f"{entry.name} has heard {task.name}: left out")
                    continue
                cells = [Cell(entry, task.name, fold, seed) for fold in chosen]
                jobs += [
                    Job(cell, source)
                    for cell in cells
                    if not _is_done(cell, found[cell.fold], task, out)
                ]
    return jobs


def _trained_folds(entry: Entry, task: JudgedTask, folds: Sequence[int]) -> list[int]:
    """The folds that the entry can be judged on; all, if it needs no encoders of folds."""
    if not task.is_dealt:
        return list(folds)
    return [fold for fold in folds if not entry.lacks_fold(task.name, fold)]


def _is_done(cell: Cell, inputs: Sequence[Input] | None, task: JudgedTask, out: Path) -> bool:
    known = read_cell(cell.path(out))
    return known is not None and known.identity == _identify(inputs or (), task, cell)


def _identify(inputs: Sequence[Input], task: JudgedTask, cell: Cell) -> Identity:
    return Identity(
        inputs=tuple(found.describe(cell.seed) for found in inputs),
        tracks_sha256=task.digest(cell.fold),
    )


def hear(jobs: Sequence[Job], track: Track) -> None:
    """Compute the outputs that jobs need and keep them, so that no two workers compute the same.

    Parameters
    ----------
    track : shows progress over the windows of a folder

    Raises
    ------
    OtherAudio
    """
    for job in jobs:
        inputs, task = _inputs_of(job)
        vectors_of(inputs, task, job.cell.seed, track)


def judge(
    jobs: Sequence[Job], out: Path, settings: LeaderboardSettings, *, workers: int = 1
) -> Iterator[CellResult]:
    """Each result when its file is written."""
    yield from map_in_processes(partial(judge_cell, out=out, settings=settings), jobs, workers)


def judge_cell(job: Job, out: Path, settings: LeaderboardSettings) -> CellResult:
    """Fit and score one cell, and write its file."""
    started, cell = time.perf_counter(), job.cell
    inputs, task = _inputs_of(job)
    vectors = vectors_of(inputs, task, cell.seed, lambda label, starts: starts)
    judgement = task.judge(vectors, cell.fold, cell.seed, settings)
    result = CellResult(
        entry=cell.entry.name,
        task=cell.task,
        fold=cell.fold,
        seed=cell.seed,
        n_folds=task.n_folds,
        n_tracks=len(vectors),
        dim=vectors.shape[1],
        metrics=judgement.metrics,
        settings=judgement.settings,
        counts=judgement.counts,
        identity=_identify(inputs, task, cell),
        seconds=round(time.perf_counter() - started, 1),
    )
    write_cell(cell.path(out), result)
    return result


def _inputs_of(job: Job) -> tuple[list[Input], JudgedTask]:
    task = job.source.load()
    inputs = find_inputs(job.cell.entry, task, job.cell.fold)
    assert inputs is not None  # what has heard a task is not planned
    return inputs, task
