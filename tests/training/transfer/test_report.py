"""A report comes from results files alone, and the same ones give the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from training.errors import MissingInput
from training.transfer.figure import confusion
from training.transfer.report import against_base, on_common_folds, report
from training.transfer.results import Cell, Result, read_results, score, write_result

LABELS = ("a", "b", "c")


def result(method: str, fold: int, seed: int, right: int, task: str = "letters") -> Result:
    """Twelve clips of which so many are named right."""
    answers = np.arange(12) % 3
    predicted = np.where(np.arange(12) < right, answers, (answers + 1) % 3)
    return Result(
        task=task,
        kind="classification",
        labels=LABELS,
        method=method,
        width=32,
        fold=fold,
        seed=seed,
        counts={"test": 12},
        metrics=score("classification", answers, predicted),
        seconds=1.0,
        tracks=tuple(f"{fold}-{clip}" for clip in range(12)),
        answers=answers.tolist(),
        predicted=predicted.tolist(),
        logits=(2.0 * np.eye(3)[predicted]).tolist(),
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    runs = [
        result(method, fold, seed, right + fold + seed + (method == "kd" and fold == 1))
        for method, right in (("base", 4), ("kd", 6), ("fix", 5))
        for fold in range(3)
        for seed in range(2)
    ]
    runs += [result("majority or mean", fold, 0, 4) for fold in range(5)]
    for run in runs:
        cell = Cell(run.method, run.width, run.fold, run.seed)
        write_result(folder / run.task / cell.file, run)
    return folder


def test_the_same_results_give_the_same_bytes(results: Path, tmp_path: Path) -> None:
    texts = [report(results, tmp_path / name) for name in ("one", "two")]
    assert texts[0] == texts[1]
    files = {path.name for path in (tmp_path / "one").iterdir()}
    assert files == {"report.md", "runs.csv", "transfer.svg", "confusion-letters.svg"}
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_difference_is_over_pairs_of_fold_and_seed(results: Path) -> None:
    runs = read_results(results)
    found = against_base(runs, "kd")
    assert found is not None
    assert found.n_pairs == 6
    kd, base = np.array([6, 7, 8, 9, 8, 9]) / 12, np.array([4, 5, 5, 6, 6, 7]) / 12
    assert found.difference == pytest.approx((kd - base).mean())
    assert found.p_pairs == pytest.approx(float(ttest_rel(kd, base).pvalue))
    # The two seeds of a fold are one piece of evidence.
    by_fold = [each.reshape(3, 2).mean(1) for each in (kd, base)]
    assert found.n_folds == 3
    assert found.p_folds == pytest.approx(float(ttest_rel(*by_fold).pvalue))
    assert found.p_folds > found.p_pairs
    assert found.low < found.difference < found.high
    assert (found.n_better, found.n_worse) == (6, 0)
    assert against_base(runs, "base") is None
    assert against_base(runs, "init") is None  # which was not run


def test_methods_are_compared_on_the_folds_that_all_have(results: Path) -> None:
    runs = on_common_folds(read_results(results))
    assert {run.fold for run in runs if run.method == "majority or mean"} == {0, 1, 2}


def test_the_table_says_mean_spread_and_number(results: Path, tmp_path: Path) -> None:
    text = report(results, tmp_path / "report")
    kd = [6, 7, 8, 9, 8, 9]
    accuracy = np.array(kd) / 12
    assert f"{accuracy.mean():.3f} ± {accuracy.std():.3f} (6)" in text
    assert "| kd | letters | +19.44 (" in text


def test_confusion_counts_answers_by_row() -> None:
    matrix = confusion([result("kd", 0, 0, 9)])
    assert matrix.sum() == 12
    assert matrix.diagonal().sum() == 9
    assert (matrix.sum(1) == 4).all()


def test_no_results_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="tasteprint-train compare"):
        report(tmp_path, tmp_path / "out")
