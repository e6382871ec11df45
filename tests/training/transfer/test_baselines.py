"""What networks have to beat is fitted as well as it can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.tasks import make_task, write_teacher
from training.datasets.prepared import TaskData
from training.transfer.baselines import BASELINES, fit_baseline
from training.transfer.encoder_outputs import bundle_outputs, untrained_features
from training.transfer.results import score


def test_every_baseline_answers_in_the_targets_shape(tmp_path: Path) -> None:
    data = make_task(tmp_path / "two", "regression")
    teacher = write_teacher(tmp_path / "teacher", data)
    facts = data.facts.model_copy(update={"labels": ("pitch",)})
    one = TaskData(data.folder, facts, data.prepared)
    for method in BASELINES:
        for each, n_targets in ((data, 2), (one, 1)):
            predicted, logits = fit_baseline(method, each, teacher, 8, 0, 0)
            test = each.parts(0) == "test"
            assert predicted.shape == (test.sum(), n_targets), method
            assert logits is None
            assert np.isfinite(list(score("regression", each.targets[test], predicted).values()))


def test_a_machine_does_not_care_for_the_unit_of_a_target(tmp_path: Path) -> None:
    data = make_task(tmp_path / "tones", "regression")
    teacher = write_teacher(tmp_path / "teacher", data)
    hertz, _ = fit_baseline("RBF SVM on mel statistics", data, teacher, 8, 0, 0)
    data.prepared.tracks["pitch"] /= 1000
    kilohertz, _ = fit_baseline("RBF SVM on mel statistics", data, teacher, 8, 0, 0)
    np.testing.assert_allclose(hertz[:, 0], 1000 * kilohertz[:, 0], rtol=1e-3)


def test_classes_get_log_probabilities_in_the_order_of_the_labels(tmp_path: Path) -> None:
    data = make_task(tmp_path / "tones")
    teacher = write_teacher(tmp_path / "teacher", data)
    predicted, logits = fit_baseline("linear on mel statistics", data, teacher, 8, 0, 0)
    assert logits is not None
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-5)
    assert (logits.argmax(1) == predicted).all()
    assert (predicted == data.targets[data.parts(0) == "test"]).all()  # tones are easy


def test_untrained_features_are_not_all_alike_and_keep_their_seed(tmp_path: Path) -> None:
    data = make_task(tmp_path / "tones")
    first, second = (untrained_features(data, 8, seed) for seed in (0, 1))
    assert first.std(0).max() > 1e-3
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, untrained_features(data, 8, 0))


def test_kept_outputs_are_of_the_tracks_that_are_there_now(tmp_path: Path) -> None:
    data = make_task(tmp_path / "tones")
    teacher = write_teacher(tmp_path / "teacher", data)
    kept = bundle_outputs(teacher, data)["features"]
    fewer = TaskData(
        data.folder,
        data.facts,
        replace(data.prepared, tracks=data.prepared.tracks.iloc[3:]),
    )
    assert bundle_outputs(teacher, fewer)["features"] == pytest.approx(kept[3:], abs=1e-6)
