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
from scipy.stats import ttest_rel
from sklearn.metrics import r2_score

from training.results import Result, read_results
from training.ship import calibration_error
from training.task_baselines import BASELINES
from training.transfer import METHODS
from training.transfer_figure import confusion, draw, draw_confusion

MEASURE = {"classification": "accuracy", "regression": "r2"}
HEADING = {"classification": "accuracy", "regression": "r²"}


@dataclass(frozen=True)
class Compared:
    """One method against `base` on the same fold, seed, width and task."""

    method: str
    n_pairs: int
    difference: float
    low: float
    high: float
    p: float
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
    runs = read_results(results)
    out.mkdir(parents=True, exist_ok=True)
    draw(runs, out / "transfer.svg")
    _list_runs(runs).to_csv(out / "runs.csv", index=False)
    sections = [_grid_table(runs)]
    for kind in MEASURE:
        mine = [run for run in runs if run.kind == kind]
        sections += [_comparison_table(mine)] if any(run.method != "base" for run in mine) else []
    for task, mine in by_task(runs).items():
        if mine[0].kind == "classification":
            method = best_method(mine)
            draw_confusion([run for run in mine if run.method == method], out, task, method)
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
    """Baselines first, then the transfer methods in the paper's order."""
    grouped: dict[str, list[Result]] = defaultdict(list)
    for run in runs:
        grouped[run.method].append(run)
    others = sorted(set(grouped) - {*BASELINES, *METHODS})
    order: list[str] = [*BASELINES, *others, *METHODS]
    return {method: grouped[method] for method in order if method in grouped}


def on_common_folds(runs: list[Result]) -> list[Result]:
    """The runs of one task on the folds that every method of it has run."""
    folds = set.intersection(*({run.fold for run in mine} for mine in by_method(runs).values()))
    return [run for run in runs if run.fold in folds]


def measured(runs: Iterable[Result]) -> list[float]:
    return [run.metrics[MEASURE[run.kind]] for run in runs]


def best_method(runs: list[Result]) -> str:
    """Of the transfer methods that were run, the one with the best mean."""
    of = by_method(runs)
    wanted: list[str] = [method for method in of if method in METHODS] or list(of)
    return max(wanted, key=lambda method: float(np.mean(measured(of[method]))))


def against_base(runs: Iterable[Result], method: str) -> Compared | None:
    """Student's paired t-test of a method and `base` over every pair of runs of one kind of task.

    The interval is of the same test, 95 %. Pairs of one fold share its clips, so they are less
    independent than the test takes them to be.
    """
    found = {(r.task, r.width, r.fold, r.seed, r.method): r for r in runs}
    keys = sorted(key[:4] for key in found if key[4] == method and (*key[:4], "base") in found)
    if method == "base" or len(keys) < 2:
        return None
    mine = np.array(measured(found[(*key, method)] for key in keys))
    base = np.array(measured(found[(*key, "base")] for key in keys))
    difference = mine - base
    if not difference.any():
        return Compared(method, len(keys), 0.0, 0.0, 0.0, 1.0, 0, 0)
    test = ttest_rel(mine, base)
    interval = test.confidence_interval()
    return Compared(
        method,
        len(keys),
        float(difference.mean()),
        float(interval.low),
        float(interval.high),
        float(test.pvalue),
        int((difference > 0).sum()),
        int((difference < 0).sum()),
    )


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _grid_table(runs: list[Result]) -> str:
    """A row a method and width, a column a task: mean ± standard deviation over runs."""
    tasks = {task: on_common_folds(mine) for task, mine in by_task(runs).items()}
    rows = []
    for method in by_method(runs):
        for width in sorted({run.width for run in runs if run.method == method}):
            cells = [_mean_and_spread(mine, method, width) for mine in tasks.values()]
            rows.append([method, str(width) if method in METHODS else "", *cells])
    heads = [f"{task}, {HEADING[mine[0].kind]}" for task, mine in tasks.items()]
    notes = [
        f"{task}: folds {', '.join(str(fold) for fold in sorted({run.fold for run in mine}))}"
        for task, mine in tasks.items()
    ]
    note = f"Mean ± standard deviation over runs (their number). {'; '.join(notes)}."
    return f"{_table(['', 'width', *heads], rows)}\n\n{note}"


def _mean_and_spread(runs: list[Result], method: str, width: int) -> str:
    values = measured(run for run in runs if (run.method, run.width) == (method, width))
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
    heading = ["− base", "task", "pairs", f"difference, {unit} (95 %)", "p", "better", "worse"]
    return _table(heading, rows) if rows else ""


def _comparison_cells(found: Compared, kind: str) -> list[str]:
    scale, digits = (100, 2) if kind == "classification" else (1, 3)
    numbers = [f"{scale * x:+.{digits}f}" for x in (found.difference, found.low, found.high)]
    return [
        str(found.n_pairs),
        f"{numbers[0]} ({numbers[1]} to {numbers[2]})",
        f"{found.p:.3g}",
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
        rows.append([method, f"{before:.3f}", f"{after:.3f}", *(f"{each:.2f}" for each in recall)])
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
