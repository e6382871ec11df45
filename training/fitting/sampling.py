"""Weighted sampling with replacement; an epoch has the same draws in a resumed run."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import WeightedRandomSampler


class EpochSampler(WeightedRandomSampler):
    """Draws clips with replacement, each epoch by a seed of its own.

    Lightning calls `set_epoch` before each epoch. A run that is resumed within an epoch draws that
    epoch from its start.

    Parameters
    ----------
    weights : of each clip, shape (n_clips,); need not sum to 1
    n_draws : clips of an epoch
    """

    def __init__(self, weights: NDArray[np.float64], n_draws: int, seed: int) -> None:
        # Lists, since torch's stub of the class names no arrays.
        super().__init__(weights.tolist(), n_draws, generator=torch.Generator())
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        # Hashed, so that epoch 1 of seed 0 is not epoch 0 of seed 1.
        mixed = np.random.SeedSequence([self.seed, epoch]).generate_state(1)
        self.generator.manual_seed(int(mixed[0]))
