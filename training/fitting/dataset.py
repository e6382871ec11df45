"""Prepared windows as a torch data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.fitting.settings import FitSettings
from training.networks.cf_estimator import crop_frames
from training.networks.mel import HOP_LENGTH

Loader = DataLoader[tuple[Tensor, ...]]


class WindowDataset(Dataset[tuple[Tensor, ...]]):
    """Windows with what belongs to each; random crops where `crop_samples` is given.

    Items are int16 (n_samples,) and a row of each of `targets`.
    """

    def __init__(
        self,
        windows: NDArray[np.int16],
        rows: NDArray[np.int64],
        *targets: NDArray[Any],
        crop_samples: int = 0,
    ) -> None:
        self.windows, self.rows, self.targets = windows, rows, targets
        self.crop_samples = crop_samples

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        window = self.windows[self.rows[index]]
        if self.crop_samples:
            start = int(torch.randint(window.size - self.crop_samples + 1, ()))
            window = window[start : start + self.crop_samples]
        targets = (torch.as_tensor(target[index]) for target in self.targets)
        return torch.from_numpy(np.array(window)), *targets


def loader(
    windows: NDArray[np.int16],
    rows: NDArray[np.int64],
    *targets: NDArray[Any],
    settings: FitSettings,
    training: bool,
) -> Loader:
    """Shuffled random crops to train on; whole windows in order otherwise."""
    crop = crop_frames(settings.crop_s) * HOP_LENGTH if training else 0
    return DataLoader(
        WindowDataset(windows, rows, *targets, crop_samples=crop),
        batch_size=settings.batch_size,
        shuffle=training,
        drop_last=training and len(rows) > settings.batch_size,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )
