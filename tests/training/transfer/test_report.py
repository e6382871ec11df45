"""A report is drawn from results files alone; the same files give the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import r2_score

from training.errors import MissingInput, MixedResults, MixedTeachers
from training.transfer.evaluation import score
from training.transfer.figure import confusion, draw_classes, recall
from training.transfer.report import compare_pairs, on_common_folds, r2_by_target, report
from training.transfer.results import Cell, Result, read_results, write_result

LABELS = ("a", "b", "c")
KEYS = {"teacher_name", "space"}


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
    found = compare_pairs(runs, "kd")
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
    assert compare_pairs(runs, "base") is None
    assert compare_pairs(runs, "init") is None  # which was not run


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


# Digest, name and space of teachers; the first two are of one space, the last two state none.
SPACES = [("1", "small", "a" * 64), ("2", "large", "a" * 64), ("3", "other", "b" * 64)]
TEACHERS = [*SPACES, ("4", "musicnn", None), ("5" * 64, None, None)]


def taught(run: Result, teacher: int) -> Result:
    digest, name, space = TEACHERS[teacher]
    return run.model_copy(update={"teacher": digest, "teacher_name": name, "space": space})


def write_taught(folder: Path, runs: list[Result]) -> Path:
    for number, run in enumerate(runs):
        cell = Cell(run.method, run.width, run.fold, run.seed)
        write_result(folder / str(number) / cell.file, run)
    return folder


@pytest.mark.parametrize(
    ("teachers", "names"),
    [
        ((0, 0, 2, 2), r"kd on letters .* small \(aaaaaaaaaaaa\) and other \(bbbbbbbbbbbb\)"),
        ((0, 2, 0, 0), r"other \(bbbbbbbbbbbb\) and small \(aaaaaaaaaaaa\)"),
        ((3, 3, 2, 2), r"musicnn \(no CF space\) and other"),
        ((4, 0, 0, 0), r"the bundle 5{12} \(its space was not recorded\) and small"),
    ],
)
def test_seeds_of_teachers_in_different_spaces_are_not_averaged(
    teachers: tuple[int, ...], names: str, tmp_path: Path
) -> None:
    runs = [
        taught(result("kd", index % 2, index // 2, 4), teacher)
        for index, teacher in enumerate(teachers)
    ]
    with pytest.raises(MixedTeachers, match=names):
        report(write_taught(tmp_path / "results", runs), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folds_of_two_teachers_are_not_averaged(tmp_path: Path) -> None:
    runs = [taught(result("fix", fold, 0, 4), teacher) for fold, teacher in enumerate((0, 1, 2))]
    with pytest.raises(MixedTeachers, match=r"fix on letters .* small .* and other"):
        report(write_taught(tmp_path / "results", runs), tmp_path / "out")


def test_tasks_of_two_teachers_are_not_averaged(tmp_path: Path) -> None:
    runs = [taught(result("kd", fold, 0, 4), 0) for fold in range(2)]
    runs += [taught(result("kd", fold, 0, 4, task="digits"), 2) for fold in range(2)]
    with pytest.raises(MixedTeachers, match=r"kd on .* (small|other) .* and (small|other)"):
        report(write_taught(tmp_path / "results", runs), tmp_path / "out")


def test_teachers_of_one_space_and_methods_without_teacher_are_reported(tmp_path: Path) -> None:
    runs = [result("base", fold, 0, 4) for fold in range(2)]
    runs += [taught(result("kd", fold, 0, 6), fold) for fold in range(2)]
    text = report(write_taught(tmp_path / "results", runs), tmp_path / "out")
    assert "| kd | letters |" in text


def test_a_teacher_for_each_fold_is_reported(tmp_path: Path) -> None:
    """Each has not heard the artists of its fold; another task has one of them."""
    each_fold = enumerate((0, 2, 3))
    runs = [
        taught(result("kd", fold, seed, 6), teacher)
        for fold, teacher in each_fold
        for seed in range(2)
    ]
    runs += [taught(result("kd", fold, 0, 6, task="digits"), 2) for fold in range(2)]
    runs += [result("base", fold, 0, 4) for fold in range(3)]
    assert "kd" in report(write_taught(tmp_path / "results", runs), tmp_path / "out")


def test_the_encoders_that_a_probe_chose_may_be_of_different_spaces(tmp_path: Path) -> None:
    method = "probe logistic on small,other features"
    runs = [taught(result(method, fold, 0, 6), teacher) for fold, teacher in enumerate((0, 2, 0))]
    assert method in report(write_taught(tmp_path / "results", runs), tmp_path / "out")
    # Another encoder of the name that an earlier fold chose.
    renamed = taught(result(method, 3, 0, 6), 2).model_copy(update={"teacher_name": "small"})
    with pytest.raises(MixedTeachers, match=r"small \(a{12}\) and small \(b{12}\)"):
        report(write_taught(tmp_path / "mixed", [*runs, renamed]), tmp_path / "other")


def test_a_variant_has_a_teacher_and_rows_of_its_own(tmp_path: Path) -> None:
    runs = [result("base", fold, 0, 3 + fold) for fold in range(3)]
    runs += [taught(result("kd", fold, 0, 6 + 2 * fold), 0) for fold in range(3)]
    other = [taught(result("kd", fold, 0, 4 + fold), 2) for fold in range(3)]
    runs += [run.model_copy(update={"variant": "other"}) for run in other]
    text = report(write_taught(tmp_path / "teachers", runs), tmp_path / "report")
    assert "| kd | letters | +33.33 (" in text
    assert "| kd (other) | letters | +8.33 (" in text
    unnamed = [run.model_copy(update={"variant": ""}) for run in runs]
    with pytest.raises(MixedTeachers, match="--variant"):
        report(write_taught(tmp_path / "mixed", unnamed), tmp_path / "other")


def test_a_results_file_names_a_teacher_only_where_there_is_one(tmp_path: Path) -> None:
    for run, keys in ((result("base", 0, 0, 4), set()), (taught(result("kd", 0, 0, 4), 0), KEYS)):
        write_result(tmp_path / "x.json", run)
        content = json.loads((tmp_path / "x.json").read_text())
        assert content.keys() & KEYS == keys
        assert Result.model_validate(content) == run


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


def test_methods_are_compared_with_kd_too(results: Path, tmp_path: Path) -> None:
    for fold in range(3):
        run = result("kd", fold, 0, 9 + fold).model_copy(update={"variant": "random-40"})
        write_result(results / f"kd+random-40-w32-f{fold}-s0.json", run)
    text = report(results, tmp_path / "report")
    (table,) = (part for part in text.split("\n\n") if part.startswith("| − kd | "))
    rows = [line.split(" | ")[:3] for line in table.splitlines()[2:]]
    assert [row[0].strip("| ") for row in rows] == ["fix", "kd (random-40)"]
    # Seed 0 of the fixture's kd has 6, 8 and 8 of 12 right.
    assert rows[1][2].startswith(f"{100 * ((9 - 6) + (10 - 8) + (11 - 8)) / 36:+.2f} (")


def test_the_pilot_draws_the_recall_of_each_class(results: Path, tmp_path: Path) -> None:
    assert not draw_classes(read_results(results), tmp_path / "classes.svg")
    runs = [result("linear on embedding", fold, 0, 6 + fold) for fold in range(3)]
    assert draw_classes([*read_results(results), *runs], tmp_path / "classes.svg")
    assert (tmp_path / "classes.svg").stat().st_size > 1000
    # Of the clips 0, 3, 6 and 9 of the first class, those below 6, 7 and 8 are right.
    np.testing.assert_allclose(recall(runs), [(2 + 3 + 3) / 12, (2 + 2 + 3) / 12, 6 / 12])
