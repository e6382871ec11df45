"""Augmentation: masks, gain and mixtures are what they say, and validation hears none of them."""

from __future__ import annotations

import math

import pytest
import torch

from training.errors import NoSpectrogram
from training.estimator.module import EstimatorModule
from training.fitting.augmentation import (
    MAX_MASK,
    apply_gain,
    draw_partners,
    draw_shares,
    mask_axis,
    mix,
)
from training.networks.registry import ENCODERS, Entry


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("axis", [2, 3])
def test_a_mask_is_a_stretch_of_its_axis_filled_with_the_mean(axis: int) -> None:
    spectrogram = torch.randn(200, 1, 24, 40)
    masked = mask_axis(spectrogram, axis, 1)
    size, other = spectrogram.shape[axis], 5 - axis
    is_masked = (masked != spectrogram).all(dim=(1, other))  # -> (B, size)
    assert ((masked == spectrogram).all(dim=(1, other)) | is_masked).all()
    n_edges = is_masked.int().diff(dim=1).abs().sum(1) + is_masked[:, 0] + is_masked[:, -1]
    assert set(n_edges.tolist()) == {0, 2}  # one stretch, or none
    widths = is_masked.sum(1)
    assert widths.max() <= math.ceil(MAX_MASK * size)
    assert float(widths.float().mean()) == pytest.approx(MAX_MASK * size / 2, rel=0.15)
    assert is_masked.any(0).all()  # every place is masked in some clip
    means = spectrogram.flatten(1).mean(1)
    filled = masked.amax(dim=(1, other)).masked_fill(~is_masked, -torch.inf).amax(1)
    torch.testing.assert_close(filled[widths > 0], means[widths > 0])


def test_gains_are_within_their_range_and_differ() -> None:
    loud = apply_gain(torch.ones(500, 3), 6)
    gains_db = 20 * loud.log10()
    assert (gains_db[:, 0] == gains_db[:, 2]).all()
    assert gains_db.abs().max() <= 6 + 1e-4
    assert gains_db.min() < -5
    assert gains_db.max() > 5


def test_partners_are_of_the_same_group() -> None:
    groups = torch.tensor([True, False, True, True, False, False, False])
    partners = draw_partners(groups)
    assert (groups[partners] == groups).all()
    assert sorted(partners.tolist()) == list(range(7))
    assert (partners != torch.arange(7)).all()
    assert draw_partners(torch.tensor([True, False])).tolist() == [0, 1]


def test_a_mixture_has_the_share_of_each_and_the_unknown_stays_so() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 6.0], [torch.nan, torch.nan]])
    shares = torch.tensor([[0.75], [1.0], [0.5]])
    mixed = mix(values, torch.tensor([1, 0, 2]), shares)
    assert mixed[:2].tolist() == [[1.5, 3.0], [3.0, 6.0]]
    assert mixed[2].isnan().all()
    drawn = draw_shares(0.4, 1000, torch.device("cpu"))
    assert 0 <= drawn.min() < 0.05 < 0.95 < drawn.max() <= 1
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.05)


def test_training_hears_augmented_clips_and_validation_does_not() -> None:
    options = {"spec_augment": 2, "gain_db": 6.0}
    module = EstimatorModule(12, 0.0, 1e-3, False, "musicnn", **options)  # type: ignore[arg-type]
    waveform, inputs = 0.1 * torch.randn(2, 4000), torch.rand(2, 187, 96)
    assert not torch.equal(module.augment_waveform(waveform), waveform)
    assert not torch.equal(module.augment_inputs(inputs), inputs)
    module.eval()
    assert torch.equal(module.augment_waveform(waveform), waveform)
    assert torch.equal(module.augment_inputs(inputs), inputs)


def test_clips_are_mixed_with_their_targets_and_only_with_clips_of_their_kind() -> None:
    module = EstimatorModule(32, 0.0, 1e-3, False, mix=0.5)
    scale = torch.tensor([1.0, 2.0, 4.0, 8.0])[:, None]
    window = (1000 * scale * torch.ones(4, 6)).short()
    factors, taught = scale * torch.ones(4, 40), scale * torch.ones(4, 5)
    factors[2:] = torch.nan
    mixed, mixed_factors, mixed_taught = module._mix([window, factors, taught])
    torch.testing.assert_close(mixed[:, 0] / 1000, mixed_taught[:, 0])
    torch.testing.assert_close(mixed_factors[:2, 0], mixed_taught[:2, 0])
    assert mixed_factors[2:].isnan().all()
    assert (mixed_taught[:2] <= 2).all()
    assert (mixed_taught[2:] >= 4).all()
    assert not torch.equal(mixed_taught, taught)


def test_masks_need_a_spectrogram(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "tiny", Entry("tests.training.networks.tiny_encoder:TinyEncoder"))
    with pytest.raises(NoSpectrogram, match="the encoder tiny has no spectrogram"):
        EstimatorModule(4, 0.0, 1e-3, False, "tiny", spec_augment=1)
