"""Augmentation of training batches: mixed clips, gain, and masks on the spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor

# A mask covers up to this share of an axis; SpecAugment's 27 of 80 bands are a third.
MAX_MASK = 1 / 3


def draw_partners(is_first: Tensor) -> Tensor:
    """For each clip of a batch another one of its group, or itself if it is alone: (B,) -> (B,).

    Parameters
    ----------
    is_first : which clips are of the first of two groups
    """
    partners = torch.arange(len(is_first), device=is_first.device)
    for members in (is_first.nonzero()[:, 0], (~is_first).nonzero()[:, 0]):
        order = members[torch.randperm(len(members), device=is_first.device)]
        partners[order] = order.roll(1)
    return partners


def draw_shares(alpha: float, batch_size: int, device: torch.device) -> Tensor:
    """The share of each clip in its mixture, from Beta(alpha, alpha): (B, 1) in [0, 1].

    Source: Zhang et al. 2018, "mixup: beyond empirical risk minimization".
    """
    beta = torch.distributions.Beta(torch.tensor(alpha), torch.tensor(alpha))
    return beta.sample((batch_size, 1)).to(device)


def mix(values: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """The mixture of each clip with its partner, (B, n); unknown (NaN) where either is."""
    return shares * values.float() + (1 - shares) * values[partners].float()


def apply_gain(waveform: Tensor, gain_db: float) -> Tensor:
    """A gain for each clip, uniform between ±gain_db: (B, n) -> (B, n)."""
    drawn_db = gain_db * (2 * torch.rand(len(waveform), 1, device=waveform.device) - 1)
    return waveform * 10 ** (drawn_db / 20)


def mask_axis(spectrogram: Tensor, axis: int, n_masks: int) -> Tensor:
    """Replace stretches of an axis by the mean of the clip, other stretches for each clip.

    Parameters
    ----------
    spectrogram : shape (B, …)
    n_masks : of each clip; the width of each is uniform up to a third of the axis

    Source: Park et al. 2019, "SpecAugment".
    """
    batch_size, size = len(spectrogram), spectrogram.shape[axis]
    width = MAX_MASK * size * torch.rand(batch_size, n_masks, 1, device=spectrogram.device)
    start = (size - width) * torch.rand_like(width)
    position = torch.arange(size, device=spectrogram.device) + 0.5
    is_masked = ((position >= start) & (position < start + width)).any(1)  # (B, N, S) -> (B, S)
    shape = [batch_size] + [1] * (spectrogram.ndim - 1)
    mean = spectrogram.flatten(1).mean(1).reshape(shape)
    shape[axis] = size
    return torch.where(is_masked.reshape(shape), mean, spectrogram)
