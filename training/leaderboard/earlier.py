"""Figures of an earlier run: what was judged there stands beside what is judged now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from training.errors import OtherFigures
from training.leaderboard.cells import Cost, Costs, read_costs
from training.leaderboard.cost import bundles_of
from training.leaderboard.entries import Entries, Entry
from training.leaderboard.figures import EntryFigures, Figures, Scores, TaskFigures
from training.leaderboard.ranking import find_entry


def keep(figures: Figures, earlier: Path, entries: Entries, out: Path) -> Figures:
    """The figures, with the scores of earlier ones of entries, tasks and folds without one now.

    Entries are in the order of their file. An entry that has no results now costs what its bundles
    cost now, or else what they did, where that was timed on the same processor.

    Parameters
    ----------
    earlier : file of figures, such as a committed one
    out : folder of the results of now

    Raises
    ------
    MissingInput, BundleError
    OtherFigures
        If the probe is another, or the tracks of a task, or the bundles of an entry of which a
        score would be kept.
    """
    before, costs = Figures.load(earlier), read_costs(out)
    for difference in _differences(figures, before):
        raise OtherFigures(earlier, difference)
    tasks = {task.name: task for task in before.tasks}
    tasks |= {task.name: _with_digests(task, tasks.get(task.name)) for task in figures.tasks}
    found = []
    for entry in entries.entries:
        now, then = find_entry(figures, entry.name), find_entry(before, entry.name)
        if then is not None:
            if _has_other_bundles(then, entry) and _keeps_any(now, then, before.tasks):
                raise OtherFigures(
                    earlier, f"scores of {entry.name} by another bundle than the one there now"
                )
            then = then.model_copy(update={"cost": _cost(then, before, costs)})
        if now is not None or then is not None:
            found.append(_join(now, then, tasks.values()) if now and then else now or then)
    seeds = (*figures.seeds, *before.seeds)
    return figures.model_copy(
        update={
            "tasks": tuple(tasks[name] for name in sorted(tasks)),
            "entries": tuple(found),
            "seeds": (min(seeds), max(seeds)),
            "cpu": figures.cpu or before.cpu,
        }
    )


def _differences(figures: Figures, before: Figures) -> Iterator[str]:
    """What keeps figures of two runs out of one table."""
    for name in ("probe", "min_listeners", "baseline"):
        if getattr(figures, name) != getattr(before, name):
            yield f"{name} {getattr(before, name)!r} in place of {getattr(figures, name)!r}"
    earlier = {task.name: task for task in before.tasks}
    for task in figures.tasks:
        if task.name in earlier and not _is_same(task, earlier[task.name]):
            yield f"other tracks of the task {task.name}"


def _is_same(task: TaskFigures, other: TaskFigures) -> bool:
    """Whether two runs have judged the same tracks, as far as they have judged the same folds."""
    both = [
        (one, two)
        for one, two in zip(task.tracks_sha256, other.tracks_sha256, strict=False)
        if one and two
    ]
    return bool(both) and all(one == two for one, two in both)


def _with_digests(task: TaskFigures, earlier: TaskFigures | None) -> TaskFigures:
    """The task with the digests of the folds that either run has judged."""
    if earlier is None:
        return task
    both = zip(task.tracks_sha256, earlier.tracks_sha256, strict=True)
    return task.model_copy(update={"tracks_sha256": tuple(one or two for one, two in both)})


def _has_other_bundles(then: EntryFigures, entry: Entry) -> bool:
    """Whether an entry was judged by others than its bundles; absent ones are not known.

    Bundles of folds are not compared: figures do not state them.
    """
    if then.cost is None or entry.missing():
        return False
    return then.cost.bundles != tuple(bundle.digest for bundle in bundles_of(entry))


def _keeps_any(now: EntryFigures | None, then: EntryFigures, tasks: Iterable[TaskFigures]) -> bool:
    """Whether a fold of a task was judged then that is not judged now."""
    if now is None:
        return True
    return any(
        then.by_fold(task, task.metrics[0]).keys() - now.by_fold(task, task.metrics[0]).keys()
        for task in tasks
    )


def _cost(entry: EntryFigures, before: Figures, costs: Costs | None) -> Cost | None:
    if costs is None:
        return entry.cost
    return costs.entries.get(entry.name, entry.cost if costs.cpu == before.cpu else None)


def _join(now: EntryFigures, then: EntryFigures, tasks: Iterable[TaskFigures]) -> EntryFigures:
    """One entry with the scores of both; of a fold that both have judged, those of now."""
    scores: dict[str, Scores] = {}
    folds: dict[str, tuple[int, ...]] = {}
    for task in tasks:
        found = {
            metric: then.by_fold(task, metric) | now.by_fold(task, metric)
            for metric in task.metrics
        }
        judged = sorted(found[task.metrics[0]])
        if not judged:
            continue
        # As in one run, a metric that a fold lacks is left out.
        scores[task.name] = {
            metric: [values[fold] for fold in judged]
            for metric, values in found.items()
            if values.keys() == set(judged)
        }
        if len(judged) < task.n_folds:
            folds[task.name] = tuple(judged)
    heard = {*now.heard, *then.heard} - set(scores)
    return now.model_copy(
        update={
            "scores": scores,
            "folds": folds,
            "heard": tuple(sorted(heard)),
            "cost": now.cost or then.cost,
        }
    )
