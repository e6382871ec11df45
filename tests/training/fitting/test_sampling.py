"""Weighted draws: in proportion, and the same in an epoch however it is reached."""

from __future__ import annotations

import numpy as np
import pytest

from training.fitting.dataset import make_loader
from training.fitting.sampling import EpochSampler, NumberedSampler
from training.fitting.settings import FitSettings


def test_draws_are_in_proportion_to_the_weights() -> None:
    draws = list(EpochSampler(np.array([1.0, 0.0, 3.0]), 4000, 0))
    counts = np.bincount(draws, minlength=3)
    assert counts[1] == 0
    assert counts[2] / len(draws) == pytest.approx(0.75, abs=0.03)


def test_an_epoch_has_its_own_draws_whether_reached_or_resumed() -> None:
    weights = np.ones(50)
    sampler = EpochSampler(weights, 50, 3)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    resumed = EpochSampler(weights, 50, 3)
    resumed.set_epoch(1)
    assert list(resumed) == second != first
    assert list(EpochSampler(weights, 50, 4)) != first


def test_a_loader_takes_what_is_drawn() -> None:
    windows = np.arange(5, dtype=np.int16)[:, None] * np.ones(4, np.int16)
    loader = make_loader(
        windows,
        np.arange(5),
        settings=FitSettings(batch_size=4),
        crop_samples=0,
        patch_samples=4,
        training=True,
        sampler=EpochSampler(np.array([0, 0, 1, 0, 0]), 11, 0),
    )
    batches = [batch for (batch,) in loader]
    assert [len(batch) for batch in batches] == [4, 4]  # of 11 draws; the last 3 are left out
    assert all((batch == 2).all() for batch in batches)


def test_numbered_draws_follow_the_weights_and_tell_the_epoch() -> None:
    weights = np.array([1.0, 0.0, 3.0])
    sampler = NumberedSampler(3, seed=0, weights=weights)
    drawn = []
    for epoch in range(400):
        sampler.set_epoch(epoch)
        numbers = np.array(list(sampler))
        assert (numbers // 3 == epoch).all()
        drawn += (numbers % 3).tolist()
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, [0.25, 0, 0.75], atol=0.05)


def test_numbered_draws_of_a_resumed_epoch_are_those_that_are_left() -> None:
    weights = np.arange(1.0, 9.0)
    whole, rest = (NumberedSampler(8, seed=1, weights=weights) for _ in range(2))
    for sampler in (whole, rest):
        sampler.set_epoch(2)
    rest.skip(5)
    assert list(rest) == list(whole)[5:]
