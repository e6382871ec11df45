"""Page of a leaderboard: its table and notes in Markdown, and its files beside the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.errors import BadPage
from training.leaderboard.cells import Cost
from training.leaderboard.figures import EntryFigures, Figures, TaskFigures
from training.leaderboard.picture import draw
from training.leaderboard.ranking import (
    MeanOverTasks,
    find_entry,
    mean_gain,
    mean_ranks,
    rank_entries,
    task_differences,
)

BEGIN, END = "<!-- drawn by tasteprint-train leaderboard -->", "<!-- end of the drawn part -->"
FIGURES, PICTURE, TABLE = "figures.json", "leaderboard.svg", "table.md"
METRICS = {
    "accuracy": "accuracy",
    "r2": "r²",
    "user_auc": "user AUC",
    "who_listens": "who listens",
}
# Scores by classes are drawn, and the same ones by other averages are not.
UNDRAWN = ("macro_f1",)


def write(figures: Figures, out: Path, page: Path | None = None) -> None:
    """Write figures, table and picture into a folder; of a page too, its drawn part and its files.

    The files of `docs/leaderboard.md` are in `docs/leaderboard`.

    Raises
    ------
    BadPage
        If the page has no place for the drawn part.
    """
    _write_files(figures, out)
    (out / TABLE).write_text(table(figures) + "\n")
    if page is not None:
        text = redraw(page, figures)
        _write_files(figures, page.with_suffix(""))
        page.write_text(text)


def _write_files(figures: Figures, folder: Path) -> None:
    figures.save(folder / FIGURES)
    (folder / PICTURE).write_text(draw(figures))


def redraw(page: Path, figures: Figures) -> str:
    """The text of the page with its drawn part made anew; the text around it stays.

    Raises
    ------
    BadPage
    """
    text = page.read_text() if page.is_file() else ""
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    if not re.search(pattern, text, flags=re.DOTALL):
        raise BadPage(page, BEGIN, END)
    folder = page.with_suffix("").name
    picture = f"![Mean gain over {figures.baseline} by CPU time of a clip]({folder}/{PICTURE})"
    drawn = f"{BEGIN}\n{table(figures)}\n\n{picture}\n{END}"
    return re.sub(pattern, lambda _: drawn, text, flags=re.DOTALL)


def table(figures: Figures) -> str:
    """A row for each entry, by mean rank; all entries on the same folds; and the notes."""
    parts = [_rows(figures, has_cost=True)]
    if any(entry.folds for entry in figures.entries):
        same = figures.on_same_folds()
        folds = ", ".join(f"{task.name} {task.n_folds}" for task in same.tasks)
        parts += [
            f"Some entries were judged on some folds only, and have no rank there. All entries on "
            f"the folds that every entry was judged on ({folds}):",
            _rows(same, has_cost=False),
        ]
    return "\n\n".join([*parts, *_notes(figures)])


def _rows(figures: Figures, *, has_cost: bool) -> str:
    ranks = mean_ranks(figures)
    order = sorted(figures.entries, key=lambda entry: _place(ranks.get(entry.name)))
    columns = [(task, metric) for task in figures.tasks for metric in _drawn(task)]
    titles = [
        *("entry", "dim", "mean rank", "gain"),
        *(f"{task.name}, {METRICS.get(metric, metric)}" for task, metric in columns),
        *(("parameters", "MFLOP", "ms") if has_cost else ()),
    ]
    best = {task.name: _best(figures, task) for task in figures.tasks}
    rows = [
        [
            *(entry.name, str(entry.dim)),
            *(_over_tasks(ranks.get(entry.name), figures, "{:.1f}"), _gain(figures, entry)),
            *(_score(entry, task, metric, best[task.name]) for task, metric in columns),
            *(_cost(entry.cost) if has_cost else ()),
        ]
        for entry in order
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [titles, ["---"] * len(titles), *rows])


def _place(rank: MeanOverTasks | None) -> float:
    return rank.value if rank else np.inf


def _drawn(task: TaskFigures) -> list[str]:
    return [metric for metric in task.metrics if metric not in UNDRAWN]


def _best(figures: Figures, task: TaskFigures) -> set[str]:
    ranks = rank_entries(figures, task)
    return {name for name, rank in ranks.items() if rank == min(ranks.values())}


def _score(entry: EntryFigures, task: TaskFigures, metric: str, best: set[str]) -> str:
    if task.name in entry.heard:
        return "heard"
    scores = entry.scores.get(task.name, {}).get(metric)
    if not scores:
        return "–"
    text = f"{np.mean(scores):.3f}"
    if len(scores) > 1:
        text += f" ± {np.std(scores):.3f}"
    text = text.replace("-", "−")
    if len(scores) < task.n_folds:
        return f"{text} ({len(scores)} of {task.n_folds} folds)"
    is_best = metric == task.metrics[0] and entry.name in best
    return f"**{text}**" if is_best else text


def _over_tasks(found: MeanOverTasks | None, figures: Figures, form: str) -> str:
    """The mean, and the number of tasks if it is not over all."""
    if found is None:
        return "–"
    text = form.format(found.value).replace("-", "−")
    return text if found.n_tasks == len(figures.tasks) else f"{text} ({found.n_tasks})"


def _gain(figures: Figures, entry: EntryFigures) -> str:
    baseline = find_entry(figures, figures.baseline)
    if baseline is None or entry == baseline:
        return "–"
    return _over_tasks(mean_gain(figures, entry, baseline), figures, "{:+.1f}")


def _cost(cost: Cost | None) -> list[str]:
    if cost is None:
        return ["–", "–", "–"]
    ms = f"{cost.ms['float32']:.1f}"
    if "int8" in cost.ms:
        ms += f" (int8 {cost.ms['int8']:.1f})"
    return [f"{cost.parameters:,}", f"{cost.mflop:,.0f}", ms]


def _notes(figures: Figures) -> Iterator[str]:
    fewest, count = figures.seeds
    seeds = f"{fewest} to {count} seeds" if fewest < count else _count("seed", count)
    folds = ", ".join(
        f"{task.name} {task.n_tracks} tracks in {task.n_folds}" for task in figures.tasks
    )
    yield (
        f"Mean ± standard deviation over folds ({folds}), each the mean over {seeds}. **Bold**: "
        "the best of a task. Mean rank: over the tasks, 1 is the best; in brackets the number of "
        "tasks where it is not all. Gain: mean difference to "
        f"{figures.baseline} over the tasks, in points (hundredths of the score). Heard: left out, "
        "as the weights were trained on artists, tracks or labels of the task."
    )
    kind = (
        "logistic regression (r²: ridge regression)" if figures.probe == "logistic" else "RBF SVM"
    )
    yield (
        f"Probes: {kind}; listeners: ridge regression to item factors, items with "
        f"{figures.min_listeners} or more listeners; regularization chosen by nested "
        "cross-validation within the training part of each fold. *Who listens* is of the vectors "
        "as they are, and does not count for rank and gain."
    )
    yield (
        "Parameters are those of the network. MFLOP: of a clip, two operations for each "
        "multiply-accumulate of convolutions and matrix products, front end included. ms: median "
        "CPU time of a clip in one thread of onnxruntime, float32, decoding aside"
        + (f"; {figures.cpu}." if figures.cpu else ".")
    )
    yield from _untrained(figures)
    yield from (f"- {entry.name}: {entry.note}" for entry in figures.entries if entry.note)


def _count(noun: str, number: int) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _untrained(figures: Figures) -> Iterator[str]:
    """Of every entry that has an untrained twin, on how many tasks it is better."""
    found = []
    for entry in figures.entries:
        twin = find_entry(figures, entry.untrained)
        if twin is not None:
            differences = task_differences(figures, entry, twin)
            n_better = sum(value > 0 for value in differences.values())
            found.append(f"{entry.name} on {n_better} of {len(differences)} tasks")
    if found:
        yield f"Better than the same network with random weights: {'; '.join(found)}."
