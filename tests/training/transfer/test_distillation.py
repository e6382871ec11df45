"""Distillation targets are scaled by the clips that train, and the loss is the paper's sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.transfer.distillation import distillation_loss, fit_scaling
from training.transfer.settings import TransferSettings


def embeddings(seed: int, n: int = 200, mean: float = 3.0) -> NDArray[np.float32]:
    """A common mean and dimensions of different spread, as a CF estimator's of recordings."""
    rng = np.random.default_rng(seed)
    return rng.normal(mean, np.linspace(0.1, 2, 40), (n, 40)).astype(np.float32)


def test_weights_of_the_loss_are_settings() -> None:
    student, teacher = torch.randn(5, 40), torch.randn(5, 40)
    mse, cosine = (
        distillation_loss(student, teacher, 1, 0),
        distillation_loss(student, teacher, 0, 1),
    )
    torch.testing.assert_close(distillation_loss(student, teacher), mse + cosine)
    torch.testing.assert_close(distillation_loss(student, teacher, 3, 5), 3 * mse + 5 * cosine)


def test_standard_targets_have_mean_0_and_deviation_1_in_training() -> None:
    assert TransferSettings().teacher_scale == "standard"
    training, others = embeddings(0), embeddings(1)
    scaling = fit_scaling([training], "standard")
    np.testing.assert_allclose(scaling(training).mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(scaling(training).std(0), 1, atol=1e-4)
    assert abs(scaling(others).mean(0)).max() > 1e-2  # of other clips: not by their own statistics


def test_centred_targets_keep_the_proportions_of_the_dimensions() -> None:
    training = embeddings(0)
    targets = fit_scaling([training], "centred")(training)
    np.testing.assert_allclose(targets.mean(0), 0, atol=1e-4)
    assert np.square(targets).mean() == pytest.approx(1, abs=1e-4)
    ratio = targets.std(0) / training.std(0)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_as_is_changes_nothing() -> None:
    training = embeddings(0)
    np.testing.assert_array_equal(fit_scaling([training], "as-is")(training), training)


@pytest.mark.parametrize("scale", ["standard", "centred"])
def test_a_constant_no_longer_fits_scaled_targets(scale: str) -> None:
    """The mean vector is nearly parallel to every embedding, and to no scaled one."""
    training = embeddings(0)
    constant = np.broadcast_to(training.mean(0), training.shape)

    def loss(scaling: str) -> float:
        scaled = fit_scaling([training], scaling)  # type: ignore[arg-type]
        student, teacher = (torch.tensor(scaled(rows)) for rows in (constant, training))
        return float(distillation_loss(student, teacher, 0, 1))

    assert loss("as-is") < -0.8
    assert loss(scale) > -0.1


def test_parts_count_alike_whatever_their_sizes() -> None:
    small, large = embeddings(0, 50, mean=1.0), embeddings(1, 5000, mean=5.0)
    scaling = fit_scaling([small, large], "standard")
    np.testing.assert_allclose(scaling.shift, (small.mean(0) + large.mean(0)) / 2, rtol=1e-4)
    squares = [np.square(scaling(part)).mean(0) for part in (small, large)]
    np.testing.assert_allclose(np.mean(squares, 0), 1, rtol=1e-3)


def test_a_constant_dimension_stays_finite() -> None:
    training = embeddings(0)
    training[:, 3] = 7.0
    others = training + np.float32(0.5)
    targets = fit_scaling([training], "standard")(others)
    assert np.isfinite(targets).all()
    np.testing.assert_array_equal(fit_scaling([training], "standard")(training)[:, 3], 0)
