"""Samplers whose epochs have the same draws in a resumed run: weighted ones, and permutations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler, Sampler, WeightedRandomSampler


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


class DividedSampler(DistributedSampler[int]):
    """The indices of an order, divided among the processes of DDP: each step has what one would.

    Lightning's own shuffles what a sampler has drawn, does not tell the sampler the epoch, and
    repeats clips where they cannot be divided, so that these would count twice in a mean.

    Parameters
    ----------
    order : a sampler, or a range
    is_equal : leave out the last indices, so that every process has as many: they train in step
    """

    def __init__(self, order: Sampler[int] | range, *, is_equal: bool = False) -> None:
        # Not the base class's, which asks for the processes before they are known to each other.
        self.order, self.is_equal = order, is_equal

    def _share(self) -> range:
        """Places in the order that this process has."""
        n_indices = len(self.order)  # type: ignore[arg-type]
        if not dist.is_initialized():
            return range(n_indices)
        n_processes = dist.get_world_size()
        stop = n_indices - n_indices % n_processes if self.is_equal else n_indices
        return range(dist.get_rank(), stop, n_processes)

    def __len__(self) -> int:
        return len(self._share())

    def __iter__(self) -> Iterator[int]:
        share = self._share()
        return islice(iter(self.order), share.start, share.stop, share.step)

    def set_epoch(self, epoch: int) -> None:
        if isinstance(self.order, EpochSampler):
            self.order.set_epoch(epoch)


class NumberedSampler(Sampler[int]):
    """Every index once an epoch, in a random order, as a number that tells the epoch too.

    With weights, as many indices as there are, drawn with replacement.

    The number of index i in epoch e is e · n_items + i: a data set that draws an item by its number
    draws it anew in each epoch, and alike in a resumed run and in any process. A run that is
    resumed within an epoch goes on with the items that the epoch still has.

    Parameters
    ----------
    weights : of each index, shape (n_items,); need not sum to 1
    """

    def __init__(self, n_items: int, seed: int, weights: NDArray[np.float64] | None = None) -> None:
        self.n_items, self.seed, self.epoch = n_items, seed, 0
        self.shares = None if weights is None else weights / weights.sum()
        self.n_skipped: dict[int, int] = {}

    def __len__(self) -> int:
        return self.n_items

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.n_items
        rng = np.random.default_rng((self.seed, self.epoch))
        if self.shares is None:
            order = rng.permutation(self.n_items)
        else:
            order = rng.choice(self.n_items, self.n_items, p=self.shares)
        yield from (first + order[self.n_skipped.get(self.epoch, 0) :]).tolist()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def skip(self, n_items: int) -> None:
        """Leave out the first items of the current epoch, which have been trained on."""
        self.n_skipped = {self.epoch: n_items}
