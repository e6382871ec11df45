"""Groups of random crops: a torch data set that draws each group by its number, and its loader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from training.audio.shards import Windows
from training.fitting.dataset import AudioDataset, Loader
from training.fitting.sampling import NumberedSampler
from training.objectives.settings import GroupSettings

# Crops of one window in a group are drawn until they do not overlap, so many times at most.
MAX_DRAWS = 100
# Runs of any seed are validated on the same groups.
VALIDATION_SEED = 0


class Group(NamedTuple):
    """The windows that the crops of a group are of, and what the group is judged by.

    Attributes
    ----------
    rows : of the windows, shape (group_size,)
    targets : arrays of the shapes that every group has
    """

    rows: NDArray[np.int64]
    targets: tuple[NDArray[np.float32], ...] = ()


class GroupDraws(ABC):
    """Base class of what draws groups: a group begins with an anchor, each once an epoch.

    Attributes
    ----------
    group_size : crops of a group
    """

    group_size: int

    @abstractmethod
    def __len__(self) -> int:
        """Number of anchors."""

    @abstractmethod
    def draw(self, index: int, rng: np.random.Generator) -> Group:
        """A random group of the anchor of that index."""

    @property
    @abstractmethod
    def identity(self) -> Sequence[NDArray[Any]]:
        """Arrays of numbers that tell the draws from others: see `AudioDataset.identity`."""


class JoinedDraws(GroupDraws):
    """Groups of several kinds in one: the crops and targets of each, one after another.

    An epoch has each anchor of the kind with the most of them once, beside random ones of the other
    kinds.
    """

    def __init__(self, kinds: Sequence[GroupDraws]) -> None:
        self.kinds = kinds
        self.group_size = sum(kind.group_size for kind in kinds)

    def __len__(self) -> int:
        return max(map(len, self.kinds))

    def draw(self, index: int, rng: np.random.Generator) -> Group:
        groups = []
        for kind in self.kinds:
            anchor = index if len(kind) == len(self) else int(rng.integers(len(kind)))
            groups.append(kind.draw(anchor, rng))
        targets = tuple(target for group in groups for target in group.targets)
        return Group(np.concatenate([group.rows for group in groups]), targets)

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return [array for kind in self.kinds for array in kind.identity]


class GroupDataset(AudioDataset):
    """torch data set of groups: int16 crops (group_size, crop_samples), and the group's targets.

    Item number e · n + i is of the anchor i of n, drawn for the e-th time. Its clips and crops are
    random by seed, e and i alone, so they are the same in a resumed run, and in any process.

    Parameters
    ----------
    windows : int16, shape (n_rows, n_samples), each the patches of a window one after another
    patch_samples : length of a patch; that of the window for windows without patches
    repeats : groups of each anchor in an epoch
    """

    def __init__(
        self,
        windows: Windows,
        draws: GroupDraws,
        *,
        crop_samples: int,
        patch_samples: int,
        seed: int,
        repeats: int = 1,
    ) -> None:
        self.windows, self.draws = windows, draws
        self.crop_samples, self.patch_samples = crop_samples, patch_samples
        self.seed, self.repeats = seed, repeats

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return self.draws.identity

    def __len__(self) -> int:
        return self.repeats * len(self.draws)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        turn, index = divmod(number, len(self.draws))
        rng = np.random.default_rng((self.seed, turn, index))
        group = self.draws.draw(index, rng)
        starts = self.draw_starts(group.rows, rng)
        crops = np.empty((len(starts), self.crop_samples), np.int16)
        for crop, row, start in zip(crops, group.rows, starts, strict=True):
            crop[:] = self.windows[row][start : start + self.crop_samples]
        return torch.from_numpy(crops), *map(torch.from_numpy, group.targets)

    def draw_starts(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """First sample of each crop in its window: uniform, crops of one window apart.

        Where a window has no room for that, they overlap.
        """
        starts = np.empty(len(rows), np.int64)
        for index, row in enumerate(rows):
            others = starts[:index][rows[:index] == row]
            for _ in range(MAX_DRAWS):
                starts[index] = self._draw_start(rng)
                if (np.abs(others - starts[index]) >= self.crop_samples).all():
                    break
        return starts

    def _draw_start(self, rng: np.random.Generator) -> int:
        patch = int(rng.integers(self.windows.shape[1] // self.patch_samples))
        offset = int(rng.integers(self.patch_samples - self.crop_samples + 1))
        return patch * self.patch_samples + offset


def make_group_loader(
    windows: Windows,
    draws: GroupDraws,
    *,
    settings: GroupSettings,
    crop_samples: int,
    patch_samples: int,
    training: bool,
) -> Loader:
    """Data loader of groups: in training shuffled and drawn anew in each epoch, otherwise fixed.

    Parameters
    ----------
    crop_samples : length of the crops, `Encoder.crop_samples`
    patch_samples : length of a patch of the windows, `AudioInput.patch_samples`
    """
    dataset = GroupDataset(
        windows,
        draws,
        crop_samples=crop_samples,
        patch_samples=patch_samples,
        seed=settings.seed if training else VALIDATION_SEED,
        repeats=1 if training else settings.validation_draws,
    )
    return DataLoader(
        dataset,
        batch_size=settings.batch_size,
        sampler=NumberedSampler(len(dataset), settings.seed) if training else None,
        drop_last=training and len(dataset) > settings.batch_size,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )
