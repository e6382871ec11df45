"""torch data set of prepared windows, and its data loader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from training.audio.shards import Windows
from training.fitting.sampling import DividedSampler, EpochSampler
from training.fitting.settings import FitSettings

Loader = DataLoader[tuple[Tensor, ...]]


class Clips(NamedTuple):
    """Prepared windows, the rows that are used, and a target of each row."""

    windows: Windows
    rows: NDArray[np.int64]
    targets: NDArray[np.float32]


class AudioDataset(Dataset[tuple[Tensor, ...]], ABC):
    """Base class of the torch data sets that a network is fitted on."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def identity(self) -> Sequence[NDArray[Any]]:
        """Arrays that tell the set from others: a run is not resumed on another one."""


class WindowDataset(AudioDataset):
    """torch data set of windows and targets, with random crops if `crop_samples` is not 0.

    Items are int16 (n_samples,) and one row of each array of `targets`. The patches of a window
    are of different times, so a crop is of one patch, chosen at random.

    Parameters
    ----------
    windows : int16, shape (n_rows, n_samples), each the patches of a window one after another
    patch_samples : length of a patch; 0 for windows without patches
    """

    def __init__(
        self,
        windows: Windows,
        rows: NDArray[np.int64],
        *targets: NDArray[Any],
        crop_samples: int = 0,
        patch_samples: int = 0,
    ) -> None:
        self.windows, self.rows, self.targets = windows, rows, targets
        self.crop_samples = crop_samples
        self.patch_samples = patch_samples or windows.shape[1]

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return self.rows, *self.targets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        window = self.windows[self.rows[index]]
        if self.crop_samples:
            start = self._draw_start(window.size // self.patch_samples)
            window = window[start : start + self.crop_samples]
        targets = (torch.as_tensor(target[index]) for target in self.targets)
        return torch.from_numpy(np.array(window)), *targets

    def _draw_start(self, n_patches: int) -> int:
        patch = int(torch.randint(n_patches, ())) if n_patches > 1 else 0
        offset = int(torch.randint(self.patch_samples - self.crop_samples + 1, ()))
        return patch * self.patch_samples + offset


class PooledDataset(AudioDataset):
    """Labelled windows, each with a random one of a pool: an item is that of both, in a row.

    A batch holds as many clips of the pool as labelled ones, and an epoch is one of the latter.
    """

    def __init__(self, labelled: WindowDataset, pool: Sequence[WindowDataset]) -> None:
        self.labelled = labelled
        self.pool: ConcatDataset[tuple[Tensor, ...]] = ConcatDataset(pool)
        self.parts = (labelled, *pool)

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return [array for part in self.parts for array in part.identity]

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        drawn = int(torch.randint(len(self.pool), ()))
        return *self.labelled[index], *self.pool[drawn]


def make_loader(
    windows: Windows,
    rows: NDArray[np.int64],
    *targets: NDArray[Any],
    settings: FitSettings,
    crop_samples: int,
    patch_samples: int,
    training: bool,
    pool: Sequence[Clips] = (),
    sampler: EpochSampler | None = None,
) -> Loader:
    """Data loader: shuffled random crops for training, otherwise whole windows in order.

    Parameters
    ----------
    crop_samples : length of the training crops, `Encoder.crop_samples`; 0 for whole windows
    patch_samples : length of a patch, `AudioInput.patch_samples`
    pool : further clips for training, one beside each clip of a batch: see `PooledDataset`
    sampler : what draws the clips of an epoch; None takes each once
    """
    crop = crop_samples if training else 0
    make = partial(WindowDataset, crop_samples=crop, patch_samples=patch_samples)
    labelled = make(windows, rows, *targets)
    pooled = [make(*clips) for clips in pool] if training else []
    n_clips = len(rows) if sampler is None else len(sampler)
    divided: DividedSampler | None = None
    if not training:
        divided = DividedSampler(range(n_clips))
    elif sampler is not None:
        divided = DividedSampler(sampler, is_equal=True)
    return DataLoader(
        PooledDataset(labelled, pooled) if pooled else labelled,
        batch_size=settings.batch_size,
        shuffle=training and sampler is None,
        sampler=divided,
        drop_last=training and n_clips > settings.batch_size,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )
