"""Baselines of an evaluation are fitted so that each set counts, and controls know nothing more."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluation.baselines import predict_by_ridge, predict_mean, project_at_random


def make_sets(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.str_]]:
    """Many renderings and few recordings, whose targets follow their inputs in another way."""
    rng = np.random.default_rng(seed)
    sets = np.repeat(["recordings", "renderings"], [60, 1500])
    inputs = rng.normal(size=(len(sets), 5)).astype(np.float32)
    signs = np.where(sets == "recordings", -1, 1)
    targets = np.stack([signs * inputs[:, 0], signs + 0.1 * inputs[:, 1]], 1)
    return inputs, targets.astype(np.float32), sets


def test_a_small_set_is_not_predicted_by_the_large_one_alone() -> None:
    inputs, targets, sets = make_sets(0)
    judged, truth, judged_sets = make_sets(1)
    predicted = predict_by_ridge(inputs, targets, judged, sets, judged_sets)
    small = judged_sets == "recordings"
    # Half of the weight is the other set's, which says the opposite; the large set decides its own.
    assert abs(predicted[small, 1].mean()) < 0.2
    assert predicted[~small, 1].mean() > 0.85
    assert np.corrcoef(predicted[~small, 0], truth[~small, 0])[0, 1] > 0.95


def test_of_one_set_every_clip_weighs_the_same() -> None:
    inputs, targets, sets = make_sets(0)
    large = sets == "renderings"
    chosen = inputs[large], targets[large]
    predicted = predict_by_ridge(*chosen, chosen[0], sets[large], sets[large])
    assert np.abs(predicted - chosen[1]).max() < 0.1
    mean = predict_mean(chosen[1], sets[large], sets[large])
    np.testing.assert_allclose(mean, np.tile(chosen[1].mean(0), (len(mean), 1)), atol=1e-6)


def test_a_set_without_training_clips_is_predicted_by_the_others() -> None:
    inputs, targets, sets = make_sets(0)
    judged_sets = np.full(3, "another")
    predicted = predict_by_ridge(inputs, targets, inputs[:3], sets, judged_sets)
    same = predict_by_ridge(inputs, targets, inputs[:3], np.full(len(sets), "one"), judged_sets)
    np.testing.assert_array_equal(predicted, same)
    assert predicted[:, 1] == pytest.approx(1440 / 1560, abs=0.3)


def test_random_projections_keep_cosines_roughly() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 300)).astype(np.float32)
    vectors[1] = vectors[0] + 0.3 * vectors[1]
    projected = project_at_random(vectors, 40)
    assert projected.shape == (50, 40)
    unit = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.8
    assert np.abs(unit[2:] @ unit[0]).max() < 0.6
    np.testing.assert_array_equal(projected, project_at_random(vectors, 40))
