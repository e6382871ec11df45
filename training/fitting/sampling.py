"""Samplers whose epochs have the same draws in a resumed run: weighted ones, and permutations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler, WeightedRandomSampler


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


class NumberedSampler(Sampler[int]):
    """Every index once an epoch, in a random order, as a number that tells the epoch too.

    The number of index i in epoch e is e · n_items + i: a data set that draws an item by its number
    draws it anew in each epoch, and alike in a resumed run and in any process. A run that is
    resumed within an epoch goes on with the items that the epoch still has.
    """

    def __init__(self, n_items: int, seed: int) -> None:
        self.n_items, self.seed, self.epoch = n_items, seed, 0
        self.n_skipped: dict[int, int] = {}

    def __len__(self) -> int:
        return self.n_items

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.n_items
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n_items)
        yield from (first + order[self.n_skipped.get(self.epoch, 0) :]).tolist()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def skip(self, n_items: int) -> None:
        """Leave out the first items of the current epoch, which have been trained on."""
        self.n_skipped = {self.epoch: n_items}
