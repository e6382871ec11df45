"""Temperature scaling finds the temperature, and the calibration error is a gap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from training.transfer.calibration import (
    cross_fitted_probabilities,
    expected_calibration_error,
    fit_temperature,
)


def test_a_known_temperature_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4)).astype(np.float32)
    true = softmax(logits, axis=1)
    targets = (true.cumsum(1) > rng.random((len(true), 1))).argmax(1)
    assert fit_temperature(logits, targets) == pytest.approx(1, rel=0.05)
    assert fit_temperature(3 * logits, targets) == pytest.approx(3, rel=0.05)


def test_the_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    targets = np.array([0] * 6 + [1] * 4 + [0] * 6 + [1] * 4)  # 0.6 right in both
    assert expected_calibration_error(probabilities, targets) == pytest.approx((0.3 + 0.0) / 2)
    perfect = np.eye(3)[[0, 1, 2]]
    assert expected_calibration_error(perfect, np.array([0, 1, 2])) == 0


def test_no_fold_is_calibrated_by_its_own_clips() -> None:
    """The first fold is overconfident, the second is not: each gets the other's temperature."""
    rng = np.random.default_rng(0)
    logits = [rng.normal(0, 1, (500, 3)).astype(np.float32) for _ in range(2)]
    targets = [
        (softmax(fold, axis=1).cumsum(1) > rng.random((500, 1))).argmax(1) for fold in logits
    ]
    logits[0] *= 5
    after = cross_fitted_probabilities(logits, targets)
    assert after.shape == (1000, 3)
    other = fit_temperature(logits[1], targets[1])
    np.testing.assert_allclose(after[:500], softmax(logits[0] / other, axis=1), atol=1e-6)
