"""Figures of an earlier run: entries that were judged there stand beside those judged now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from training.errors import OtherFigures
from training.leaderboard.cells import Cost, read_costs
from training.leaderboard.entries import Entries
from training.leaderboard.figures import EntryFigures, Figures, TaskFigures


def keep(figures: Figures, earlier: Path, entries: Entries, out: Path) -> Figures:
    """The figures, with the entries of earlier ones that have no results now.

    Entries are in the order of their file. A kept entry costs what its bundles cost now, or else
    what they did, where that was timed on the same processor.

    Parameters
    ----------
    earlier : file of figures, such as a committed one
    out : folder of the results of now

    Raises
    ------
    MissingInput
    OtherFigures
        If the probe is another, or the tracks of a task, or the bundles of an entry that is kept.
    """
    before = Figures.load(earlier)
    costs = read_costs(out)
    now = costs.entries if costs else {}
    judged = {entry.name: entry for entry in figures.entries}
    kept = {entry.name: entry for entry in before.entries if entry.name not in judged}
    differences = [*_differences(figures, before), *_changed(kept.values(), now)]
    if differences:
        raise OtherFigures(earlier, differences[0])
    is_same_cpu = costs is None or costs.cpu == before.cpu
    found = judged | {
        name: entry.model_copy(update={"cost": now.get(name, entry.cost if is_same_cpu else None)})
        for name, entry in kept.items()
    }
    tasks = {task.name: task for task in (*figures.tasks, *before.tasks)}
    seeds = (*figures.seeds, *before.seeds)
    return figures.model_copy(
        update={
            "tasks": tuple(tasks[name] for name in sorted(tasks)),
            "entries": tuple(found[entry.name] for entry in entries.entries if entry.name in found),
            "seeds": (min(seeds), max(seeds)),
            "cpu": figures.cpu or before.cpu,
        }
    )


def _differences(figures: Figures, before: Figures) -> list[str]:
    """What keeps figures of two runs out of one table."""
    stated = [
        f"{name} {getattr(before, name)!r} in place of {getattr(figures, name)!r}"
        for name in ("probe", "min_listeners", "baseline")
        if getattr(figures, name) != getattr(before, name)
    ]
    earlier = {task.name: task for task in before.tasks}
    tasks = [
        f"other tracks of the task {task.name}"
        for task in figures.tasks
        if task.name in earlier and not _is_same(task, earlier[task.name])
    ]
    return stated + tasks


def _is_same(task: TaskFigures, other: TaskFigures) -> bool:
    """Whether two runs have judged the same tracks, as far as they have judged the same folds."""
    both = [
        (one, two)
        for one, two in zip(task.tracks_sha256, other.tracks_sha256, strict=False)
        if one and two
    ]
    return bool(both) and all(one == two for one, two in both)


def _changed(kept: Iterable[EntryFigures], costs: Mapping[str, Cost]) -> list[str]:
    return [
        f"scores of {entry.name} by another bundle than the one that is there now"
        for entry in kept
        if entry.cost and entry.name in costs and entry.cost.bundles != costs[entry.name].bundles
    ]
