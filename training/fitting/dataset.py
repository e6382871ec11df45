"""torch data set of prepared windows, and its data loader."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.audio.windows import Windows
from training.fitting.sampling import EpochSampler
from training.fitting.settings import FitSettings

Loader = DataLoader[tuple[Tensor, ...]]


class WindowDataset(Dataset[tuple[Tensor, ...]]):
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


def make_loader(
    windows: Windows,
    rows: NDArray[np.int64],
    *targets: NDArray[Any],
    settings: FitSettings,
    crop_samples: int,
    patch_samples: int,
    training: bool,
    sampler: EpochSampler | None = None,
) -> Loader:
    """Data loader: shuffled random crops for training, otherwise whole windows in order.

    Parameters
    ----------
    crop_samples : length of the training crops, `Encoder.crop_samples`; 0 for whole windows
    patch_samples : length of a patch, `AudioInput.patch_samples`
    sampler : what draws the clips of an epoch; None takes each once
    """
    n_clips = len(rows) if sampler is None else len(sampler)
    return DataLoader(
        WindowDataset(
            windows,
            rows,
            *targets,
            crop_samples=crop_samples if training else 0,
            patch_samples=patch_samples,
        ),
        batch_size=settings.batch_size,
        shuffle=training and sampler is None,
        sampler=sampler,
        drop_last=training and n_clips > settings.batch_size,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )
