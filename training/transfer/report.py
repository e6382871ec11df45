"""Figure 4 of the paper, its tables and its tests, drawn from results files alone.

Source: Lee et al. 2020, section 4 and figure 4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp
from sklearn.metrics import r2_score

from training.transfer.baselines import BASELINES
from training.transfer.figure import confusion, draw, draw_confusion
from training.transfer.results import MEASURE, Result, read_results
from training.transfer.summary import calibration_error
from training.transfer.train import METHODS

HEADING = {"classification": "accuracy", "regression": "r²"}


@dataclass(frozen=True)
class Compared:
    """One method against `base` on the same fold, seed, width and task."""

    method: str
    n_pairs: int
    n_folds: int
    difference: float
    low: float
    high: float
    p_folds: float
    p_pairs: float
    n_better: int
    n_worse: int


def report(results: Path, out: Path) -> str:
    """Write `report.md`, `runs.csv`, `transfer.svg` and confusions; return the text.

    Only the results files are read: the same ones give the same bytes.

    Raises
    ------
    MissingInput
        Where there is no results file below `results`.
    """
    every = read_results(results)
    runs = [run for mine in by_task(every).values() for run in on_common_folds(mine)]
    out.mkdir(parents=True, exist_ok=True)
    draw(runs, out / "transfer.svg")
    _list_runs(every).to_csv(out / "runs.csv", index=False)
    sections = [_grid_table(runs)]
    for kind in MEASURE:
        mine = [run for run in runs if run.kind == kind]
        sections += [_comparison_table(mine)] if any(run.method != "base" for run in mine) else []
    for task, mine in by_task(runs).items():
        if mine[0].kind == "classification":
            best = best_method(mine)
            draw_confusion(by_method(mine)[best], out, task, best)
            sections.append(_calibration_table(task, mine))
        else:
            sections.append(_target_table(task, mine))
    text = "\n\n".join(filter(None, sections)) + "\n"
    (out / "report.md").write_text(text)
    return text


def _list_runs(runs: list[Result]) -> pd.DataFrame:
    """A row a run, without what it said of each track."""
    facts = ["task", "method", "width", "fold", "seed", "seconds"]
    return pd.DataFrame([run.model_dump(include=set(facts)) | run.metrics for run in runs])[
        [*facts, *sorted({name for run in runs for name in run.metrics})]
    ].round(4)


def by_task(runs: Iterable[Result]) -> dict[str, list[Result]]:
    grouped: dict[str, list[Result]] = defaultdict(list)
    for run in runs:
        grouped[run.task].append(run)
    return dict(grouped)


def by_method(runs: Iterable[Result]) -> dict[str, list[Result]]:
    """Runs by method, and by width where there are several: `kd`, or `kd (64)`.

    Baselines first, then probes, then the transfer methods in the paper's order.
    """
    grouped: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for run in runs:
        grouped[run.method, run.width].append(run)
    others = {method for method, _ in grouped} - {*BASELINES, *METHODS}
    order: list[str] = [*BASELINES, *sorted(others), *METHODS]
    several = {method for method in order if sum(key[0] == method for key in grouped) > 1}
    return {
        f"{method} ({width})" if method in several else method: grouped[method, width]
        for method, width in sorted(grouped, key=lambda key: (order.index(key[0]), key[1]))
    }


def on_common_folds(runs: list[Result]) -> list[Result]:
    """The runs of one task on the folds that every method of it has run."""
    folds = set.intersection(*({run.fold for run in mine} for mine in by_method(runs).values()))
    return [run for run in runs if run.fold in folds]


def measured(runs: Iterable[Result]) -> list[float]:
    return [run.metrics[MEASURE[run.kind]] for run in runs]


def best_method(runs: list[Result]) -> str:
    """Of the transfer methods that were run, the one with the best mean."""
    of = by_method(runs)
    wanted = [name for name, mine in of.items() if mine[0].method in METHODS] or list(of)
    return max(wanted, key=lambda method: float(np.mean(measured(of[method]))))


def against_base(runs: Iterable[Result], method: str) -> Compared | None:
    """Student's paired t-test of a method and `base` on the same task, width, fold and seed.

    Once over every pair of runs, as the paper counts; and once with the seeds of a fold averaged,
    which share its clips and so are no new evidence. The interval, 95 %, is of the second.
    """
    found = {(r.task, r.width, r.fold, r.seed, r.method): r for r in runs}
    keys = sorted(key[:4] for key in found if key[4] == method and (*key[:4], "base") in found)
    mine = np.array(measured(found[(*key, method)] for key in keys))
    difference = mine - np.array(measured(found[(*key, "base")] for key in keys))
    folds = pd.Series(difference).groupby([str(key[:3]) for key in keys]).mean().to_numpy()
    if method == "base" or len(folds) < 2:
        return None
    by_fold = ttest_1samp(folds, 0)
    interval = by_fold.confidence_interval()
    return Compared(
        method,
        n_pairs=len(keys),
        n_folds=len(folds),
        difference=float(folds.mean()),
        low=float(interval.low),
        high=float(interval.high),
        p_folds=float(by_fold.pvalue),
        p_pairs=float(ttest_1samp(difference, 0).pvalue),
        n_better=int((difference > 0).sum()),
        n_worse=int((difference < 0).sum()),
    )


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _grid_table(runs: list[Result]) -> str:
    """A row a method, a column a task: mean ± standard deviation over runs."""
    tasks = by_task(runs)
    grouped = {task: by_method(mine) for task, mine in tasks.items()}
    rows = [
        [name, *(_mean_and_spread(mine.get(name, [])) for mine in grouped.values())]
        for name in by_method(runs)
    ]
    heads = [f"{task}, {HEADING[mine[0].kind]}" for task, mine in tasks.items()]
    notes = [
        f"{task}: folds {', '.join(str(fold) for fold in sorted({run.fold for run in mine}))}"
        for task, mine in tasks.items()
    ]
    note = (
        f"Mean ± standard deviation over runs (their number), on the folds that every method ran; "
        f"{'; '.join(notes)}. Baselines and probes are fitted on training and validation part, "
        "networks on the training part: theirs chooses the checkpoint."
    )
    return f"{_table(['', *heads], rows)}\n\n{note}"


def _mean_and_spread(runs: list[Result]) -> str:
    values = measured(runs)
    return f"{np.mean(values):.3f} ± {np.std(values):.3f} ({len(values)})" if values else ""


def _comparison_table(runs: list[Result]) -> str:
    """Each method minus `base`, a row a task and one for all of them."""
    tasks = by_task(runs)
    rows = []
    for method in METHODS:
        groups = {**tasks, **({"all": runs} if len(tasks) > 1 else {})}
        for task, mine in groups.items():
            if found := against_base(mine, method):
                rows.append([method, task, *_comparison_cells(found, runs[0].kind)])
    unit = "points" if runs[0].kind == "classification" else "r²"
    counts = ["p, folds", "folds", "p, pairs", "pairs", "better", "worse"]
    heading = ["− base", "task", f"difference, {unit} (95 %)", *counts]
    note = (
        "Paired t-tests: the interval and the first p over folds, the seeds of each averaged; the "
        "second p over all pairs of runs, which is too sure of itself: the seeds of a fold share "
        "its clips. Better and worse: of the pairs."
    )
    return f"{_table(heading, rows)}\n\n{note}" if rows else ""


def _comparison_cells(found: Compared, kind: str) -> list[str]:
    scale, digits = (100, 2) if kind == "classification" else (1, 3)
    numbers = [f"{scale * x:+.{digits}f}" for x in (found.difference, found.low, found.high)]
    return [
        f"{numbers[0]} ({numbers[1]} to {numbers[2]})",
        f"{found.p_folds:.2g}",
        str(found.n_folds),
        f"{found.p_pairs:.2g}",
        str(found.n_pairs),
        str(found.n_better),
        str(found.n_worse),
    ]


def _calibration_table(task: str, runs: list[Result]) -> str:
    """Expected calibration error of each method that gives probabilities, and recall by class."""
    rows = []
    for method, mine in by_method(runs).items():
        if any(run.logits is None for run in mine):
            continue
        before, after = calibration_error(mine)
        matrix = confusion(mine)
        recall = matrix.diagonal() / np.maximum(matrix.sum(1), 1)
        errors = [f"{before:.3f}", "" if after is None else f"{after:.3f}"]
        rows.append([method, *errors, *(f"{each:.2f}" for each in recall)])
    heading = [task, "calibration error", "calibrated", *(f"{label}" for label in runs[0].labels)]
    return _table(heading, rows) + "\n\nThe columns of classes: recall."


def _target_table(task: str, runs: list[Result]) -> str:
    """r² of each target, over all held-out clips of all runs of a method."""
    rows = []
    for method, mine in by_method(runs).items():
        answers = np.concatenate([np.array(run.answers) for run in mine])
        predicted = np.concatenate([np.array(run.predicted) for run in mine])
        each = r2_score(answers, predicted, multioutput="raw_values")
        rows.append([method, *(f"{value:.2f}" for value in each)])
    return _table([f"{task}, r²", *runs[0].labels], rows)
