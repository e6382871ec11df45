"""Baselines predict in the shape of the targets, and their inputs are cached per data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.tasks import make_task, write_teacher
from training.datasets.prepared import TaskData
from training.networks.bundle_outputs import bundle_outputs
from training.transfer.baselines import ESTIMATORS, fit_baseline
from training.transfer.encoder_outputs import untrained_features
from training.transfer.evaluation import score
from training.transfer.results import Cell
from training.transfer.settings import BASELINES


def test_every_baseline_predicts_in_the_shape_of_the_targets(tmp_path: Path) -> None:
    data = make_task(tmp_path / "two", "regression")
    teacher = write_teacher(tmp_path / "teacher", data)
    facts = data.facts.model_copy(update={"labels": ("pitch",)})
    one = TaskData(data.folder, facts, data.prepared)
    for method in BASELINES:
        for task, n_targets in ((data, 2), (one, 1)):
            prediction = fit_baseline(Cell(method, 8, 0, 0), task, teacher, task)
            test = task.parts(0) == "test"
            assert prediction.predicted.shape == (test.sum(), n_targets), method
            assert prediction.logits is None
            metrics = score("regression", task.targets[test], prediction.predicted)
            assert np.isfinite(list(metrics.values()))


def test_an_svm_does_not_depend_on_the_unit_of_a_target(tmp_path: Path) -> None:
    data = make_task(tmp_path / "tones", "regression")
    teacher = write_teacher(tmp_path / "teacher", data)
    hertz = fit_baseline(Cell("RBF SVM on mel statistics", 8, 0, 0), data, teacher, data).predicted
    data.prepared.tracks["pitch"] /= 1000
    kilohertz = fit_baseline(
        Cell("RBF SVM on mel statistics", 8, 0, 0), data, teacher, data
    ).predicted
    np.testing.assert_allclose(hertz[:, 0], 1000 * kilohertz[:, 0], rtol=1e-3)


def test_classes_get_log_probabilities_in_the_order_of_the_labels(tmp_path: Path) -> None:
    data = make_task(tmp_path / "tones")
    teacher = write_teacher(tmp_path / "teacher", data)
    prediction = fit_baseline(Cell("linear on mel statistics", 8, 0, 0), data, teacher, data)
    predicted, logits = prediction.predicted, prediction.logits
    assert logits is not None
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-5)
    assert (logits.argmax(1) == predicted).all()
    assert (predicted == data.targets[data.parts(0) == "test"]).all()  # tones are easy


def test_every_baseline_has_its_estimators() -> None:
    assert set(ESTIMATORS) == set(BASELINES)


def test_untrained_features_vary_and_depend_on_the_seed(tmp_path: Path) -> None:
    data = make_task(tmp_path / "tones")
    first, second = (untrained_features(data, 8, seed) for seed in (0, 1))
    assert first.std(0).max() > 1e-3
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, untrained_features(data, 8, 0))


def test_cached_outputs_are_of_the_tracks_that_the_data_set_has_now(tmp_path: Path) -> None:
    data = make_task(tmp_path / "tones")
    teacher = write_teacher(tmp_path / "teacher", data)
    kept = bundle_outputs(teacher, data)["features"]
    fewer = TaskData(
        data.folder,
        data.facts,
        replace(data.prepared, tracks=data.prepared.tracks.iloc[3:]),
    )
    assert bundle_outputs(teacher, fewer)["features"] == pytest.approx(kept[3:], abs=1e-6)
