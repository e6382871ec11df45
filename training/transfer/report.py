"""Report of a comparison: figure 4 of the paper, tables and paired t-tests, from results files.

Source: Lee et al. 2020, section 4 and figure 4.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from training.datasets.task import Kind
from training.transfer.figure import confusion, draw, draw_classes, draw_confusion
from training.transfer.results import Result, read_results, refuse_mixed_teachers
from training.transfer.settings import BASELINES, MEASURE, METHODS
from training.transfer.summary import calibration_error

HEADING: dict[Kind, str] = {
    "classification": "accuracy",
    "regression": "r²",
    "multilabel": "mean average precision",
}


@dataclass(frozen=True)
class Compared:
    """Paired comparison of two methods on the same fold, seed, width and task."""

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
    """Write `report.md`, `runs.csv`, `transfer.svg`, `classes.svg` and confusions; return the text.

    Only the results files are read: the same files give the same bytes.

    Raises
    ------
    MissingInput
        Where there is no results file below `results`.
    MixedResults, MixedTeachers
    """
    all_runs = read_results(results)
    refuse_mixed_teachers(all_runs, results)
    runs = [run for of_task in by_task(all_runs).values() for run in on_common_folds(of_task)]
    out.mkdir(parents=True, exist_ok=True)
    draw(runs, out / "transfer.svg")
    draw_classes(runs, out / "classes.svg")
    _write_runs(all_runs, out / "runs.csv")
    sections = [_grid_table(runs)]
    for kind in MEASURE:
        of_kind = [run for run in runs if run.kind == kind]
        if any(run.method != "base" for run in of_kind):
            sections += [_comparison_table(of_kind, reference) for reference in ("base", "kd")]
    for task, of_task in by_task(runs).items():
        if of_task[0].kind == "classification":
            best = best_method(of_task)
            draw_confusion(by_method(of_task)[best], out, task, best)
            sections.append(_calibration_table(task, of_task))
        elif of_task[0].kind == "regression":
            sections.append(_target_table(task, of_task))
    text = "\n\n".join(filter(None, sections)) + "\n"
    (out / "report.md").write_text(text)
    return text


def _write_runs(runs: list[Result], path: Path) -> None:
    """One row per run: its settings and metrics, without the predictions per track."""
    facts = ["task", "method", "width", "fold", "seed", "seconds"]
    metrics = sorted({name for run in runs for name in run.metrics})
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [*facts, *metrics], restval="", lineterminator="\n")
        table.writeheader()
        for run in runs:
            rounded = {name: float(np.round(value, 4)) for name, value in run.metrics.items()}
            table.writerow(run.model_dump(include=set(facts)) | rounded)


def by_task(runs: Iterable[Result]) -> dict[str, list[Result]]:
    grouped: dict[str, list[Result]] = defaultdict(list)
    for run in runs:
        grouped[run.task].append(run)
    return dict(grouped)


def by_method(runs: Iterable[Result]) -> dict[str, list[Result]]:
    """Runs by method and variant, and by width where there are several: `kd`, or `kd (64)`.

    Baselines come first, then probes, then the transfer methods in the order of `RECIPES`; a
    method's variants follow it.
    """
    grouped: dict[tuple[str, str, int], list[Result]] = defaultdict(list)
    for run in runs:
        grouped[run.method, run.label, run.width].append(run)
    others = {method for method, *_ in grouped} - {*BASELINES, *METHODS}
    order: list[str] = [*BASELINES, *sorted(others), *METHODS]
    labels = [label for _, label, _ in grouped]
    return {
        f"{label} ({width})" if labels.count(label) > 1 else label: grouped[method, label, width]
        for method, label, width in sorted(grouped, key=lambda key: (order.index(key[0]), *key[1:]))
    }


def on_common_folds(runs: list[Result]) -> list[Result]:
    """The runs of one task, on the folds that every method has run."""
    folds = set.intersection(*({run.fold for run in group} for group in by_method(runs).values()))
    return [run for run in runs if run.fold in folds]


def best_method(runs: list[Result]) -> str:
    """The transfer method with the highest mean; of the baselines where no method was run."""
    groups = by_method(runs)
    methods = [name for name, group in groups.items() if group[0].method in METHODS]
    return max(
        methods or list(groups),
        key=lambda name: float(np.mean([run.measure for run in groups[name]])),
    )


def compare_pairs(runs: Iterable[Result], method: str, reference: str = "base") -> Compared | None:
    """Student's paired t-test of two methods on the same task, width, fold and seed.

    `method` and `reference` are runs' labels: a method, with its variant if it is one.

    Once over every pair of runs, as in the paper; and once with the seeds of a fold averaged: they
    share its test clips, and so are not independent. The 95 % interval is of the second.
    """
    found = {(r.task, r.width, r.fold, r.seed, r.label): r.measure for r in runs}
    keys = sorted(key[:4] for key in found if key[4] == method and (*key[:4], reference) in found)
    difference = np.array([found[(*key, method)] - found[(*key, reference)] for key in keys])
    by_key: dict[str, list[float]] = defaultdict(list)
    for (task, width, fold, _), value in zip(keys, difference, strict=True):
        by_key[str((task, width, fold))].append(value)
    folds = np.array([np.mean(by_key[key]) for key in sorted(by_key)])
    if method == reference or len(folds) < 2:
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
    """One row per method, one column per task: mean ± standard deviation over runs."""
    tasks = by_task(runs)
    grouped = [by_method(of_task) for of_task in tasks.values()]
    rows = [
        [name, *(_mean_and_spread(groups.get(name, [])) for groups in grouped)]
        for name in by_method(runs)
    ]
    heads = [f"{task}, {HEADING[of_task[0].kind]}" for task, of_task in tasks.items()]
    notes = [
        f"{task}: folds {', '.join(str(fold) for fold in sorted({run.fold for run in of_task}))}"
        for task, of_task in tasks.items()
    ]
    note = (
        f"Mean ± standard deviation over runs (number of runs), on the folds that every method "
        f"ran; {'; '.join(notes)}. Baselines and probes are fitted on training and validation "
        "part; networks on the training part, as the validation part chooses their checkpoint."
    )
    return f"{_table(['', *heads], rows)}\n\n{note}"


def _mean_and_spread(runs: list[Result]) -> str:
    values = [run.measure for run in runs]
    return f"{np.mean(values):.3f} ± {np.std(values):.3f} ({len(values)})" if values else ""


def _comparison_table(runs: list[Result], reference: str) -> str:
    """Each method minus the reference, one row per task and one for all tasks together."""
    tasks = by_task(runs)
    rows = []
    # What stands before the reference is compared with it already, the other way round.
    labels = [label for label in _transfer_labels(runs) if reference == "base" or label != "base"]
    for method in labels:
        groups = {**tasks, **({"all": runs} if len(tasks) > 1 else {})}
        for task, group in groups.items():
            if found := compare_pairs(group, method, reference):
                rows.append([method, task, *_comparison_cells(found, runs[0].kind)])
    unit = "points" if runs[0].kind == "classification" else HEADING[runs[0].kind]
    counts = ["p, folds", "folds", "p, pairs", "pairs", "better", "worse"]
    heading = [f"− {reference}", "task", f"difference, {unit} (95 %)", *counts]
    note = (
        "Paired t-tests: the interval and the first p over folds, with the seeds of a fold "
        "averaged; the second p over all pairs of runs, which overstates the evidence: the seeds "
        "of a fold share its test clips. Better and worse: number of pairs."
    )
    return f"{_table(heading, rows)}\n\n{note}" if rows else ""


def _transfer_labels(runs: list[Result]) -> list[str]:
    """Labels of the runs of transfer methods, in the order of `RECIPES`."""
    order = {
        run.label: (METHODS.index(run.method), run.label) for run in runs if run.method in METHODS
    }
    return sorted(order, key=order.__getitem__)


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
    """Expected calibration error of each method that predicts probabilities, and class recall."""
    rows = []
    for method, group in by_method(runs).items():
        if any(run.logits is None for run in group):
            continue
        before, after = calibration_error(group)
        matrix = confusion(group)
        recall = matrix.diagonal() / np.maximum(matrix.sum(1), 1)
        errors = [f"{before:.3f}", "" if after is None else f"{after:.3f}"]
        rows.append([method, *errors, *(f"{value:.2f}" for value in recall)])
    heading = [task, "calibration error", "calibrated", *(f"{label}" for label in runs[0].labels)]
    return _table(heading, rows) + "\n\nThe columns of classes: recall."


def _target_table(task: str, runs: list[Result]) -> str:
    """r² of each target, over all held-out clips of all runs of a method."""
    rows = []
    for method, group in by_method(runs).items():
        targets = np.concatenate([np.array(run.targets) for run in group])
        predicted = np.concatenate([np.array(run.predicted) for run in group])
        rows.append([method, *(f"{value:.2f}" for value in r2_by_target(targets, predicted))])
    return _table([f"{task}, r²", *runs[0].labels], rows)


def r2_by_target(
    targets: NDArray[np.float64], predicted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """r² of each column, as scikit-learn's `r2_score`, which would take a second to import.

    Parameters
    ----------
    targets, predicted : shape (n_clips, n_targets)
    """
    residual = ((targets - predicted) ** 2).sum(0)
    total = ((targets - targets.mean(0)) ** 2).sum(0)
    # A constant target: 1 where predicted exactly, else 0.
    constant = np.where(residual == 0, 1.0, 0.0)
    return np.where(total == 0, constant, 1 - residual / np.where(total == 0, 1, total))
