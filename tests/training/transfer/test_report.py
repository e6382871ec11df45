"""A report is drawn from results files alone; the same files give the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import r2_score

from training.errors import MissingInput, MixedResults
from training.transfer.evaluation import score
from training.transfer.figure import confusion
from training.transfer.report import against_base, on_common_folds, r2_by_target, report
from training.transfer.results import Cell, Result, read_results, write_result

LABELS = ("a", "b", "c")


def result(method: str, fold: int, seed: int, right: int, task: str = "letters") -> Result:
    """Twelve clips of which `right` are predicted correctly."""
    targets = np.arange(12) % 3
    predicted = np.where(np.arange(12) < right, targets, (targets + 1) % 3)
    return Result(
        task=task,
        kind="classification",
        labels=LABELS,
        method=method,
        width=32,
        fold=fold,
        seed=seed,
        counts={"test": 12},
        metrics=score("classification", targets, predicted),
        seconds=1.0,
        tracks=tuple(f"{fold}-{clip}" for clip in range(12)),
        targets=targets.tolist(),
        predicted=predicted.tolist(),
        logits=(2.0 * np.eye(3)[predicted]).tolist(),
    )


def write_results(folder: Path) -> None:
    """Results of three methods on three folds with two seeds, and of one baseline."""
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


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_results(tmp_path / "results")
    return tmp_path / "results"


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
    # The two seeds of a fold share its clips: one observation.
    by_fold = [accuracy.reshape(3, 2).mean(1) for accuracy in (kd, base)]
    assert found.n_folds == 3
    assert found.p_folds == pytest.approx(float(ttest_rel(*by_fold).pvalue))
    assert found.p_folds > found.p_pairs
    assert found.low < found.difference < found.high
    assert (found.n_better, found.n_worse) == (6, 0)
    assert against_base(runs, "base") is None
    assert against_base(runs, "init") is None  # which was not run


def test_methods_are_compared_on_the_folds_that_all_methods_ran(results: Path) -> None:
    runs = on_common_folds(read_results(results))
    assert {run.fold for run in runs if run.method == "majority or mean"} == {0, 1, 2}


@pytest.mark.parametrize(
    ("fold", "change"),
    [
        (0, {"tracks": tuple(f"other-{clip}" for clip in range(12))}),
        (0, {"targets": [0] * 12}),
        (4, {"tracks": tuple(f"0-{clip}" for clip in range(12))}),  # fold 0 was these
    ],
)
def test_runs_of_another_division_into_folds_are_not_mixed_in(
    fold: int, change: dict[str, object], results: Path, tmp_path: Path
) -> None:
    stale = result("init", fold, 0, 4).model_copy(update=change)
    # Another task may hold out what it likes.
    write_result(results / "init-w32-f0-s0.json", stale.model_copy(update={"task": "digits"}))
    assert len(read_results(results)) > 1
    write_result(results / "init-w32-f0-s0.json", stale)
    with pytest.raises(MixedResults, match=r"runs of letters with other tracks or labels in fold"):
        report(results, tmp_path / "report")


def test_the_table_has_mean_deviation_and_number_of_runs(results: Path, tmp_path: Path) -> None:
    text = report(results, tmp_path / "report")
    kd = [6, 7, 8, 9, 8, 9]
    accuracy = np.array(kd) / 12
    assert f"{accuracy.mean():.3f} ± {accuracy.std():.3f} (6)" in text
    assert "| kd | letters | +19.44 (" in text


def test_confusion_has_a_row_per_true_class() -> None:
    matrix = confusion([result("kd", 0, 0, 9)])
    assert matrix.sum() == 12
    assert matrix.diagonal().sum() == 9
    assert (matrix.sum(1) == 4).all()


def test_a_folder_without_results_is_an_error_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="tasteprint-train compare"):
        report(tmp_path, tmp_path / "out")


def test_r2_of_each_target_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(40, 5))
    predicted = targets + rng.normal(size=(40, 5))
    targets[:, 3:] = predicted[:, 3] = 2.0  # constant targets: one predicted exactly, one not
    expected = r2_score(targets, predicted, multioutput="raw_values")
    np.testing.assert_allclose(r2_by_target(targets, predicted), expected, rtol=1e-12)


def test_a_results_file_keeps_the_key_answers(results: Path) -> None:
    file = next(results.rglob("kd-w32-f0-s0.json"))
    content = json.loads(file.read_text())
    assert content["answers"] == [0, 1, 2] * 4
    assert "targets" not in content
    assert Result.model_validate(content).targets == content["answers"]


def test_runs_are_listed_with_their_metrics(results: Path, tmp_path: Path) -> None:
    report(results, tmp_path)
    lines = (tmp_path / "runs.csv").read_text().splitlines()
    assert lines[0] == "task,method,width,fold,seed,seconds,accuracy,macro_f1"
    assert lines[1].startswith("letters,base,32,0,0,1.0,0.3333,")
    assert len(lines) == 1 + len(read_results(results))
