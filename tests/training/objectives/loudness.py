"""Groups of a loud and a quiet clip, and an objective that tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.training.networks.tiny_encoder import NAME, TinyEncoder
from training.networks.base import Encoded
from training.objectives.groups import Group, GroupDraws
from training.objectives.module import Judged, Objective
from training.objectives.settings import GroupSettings

N_CLIPS, N_SAMPLES, CROP = 12, TinyEncoder.audio.window_samples, 800
SETTINGS = GroupSettings(
    encoder=NAME, width=4, batch_size=4, max_epochs=2, crop_s=0.1, accelerator="cpu"
)


def make_windows() -> NDArray[np.int16]:
    """Noise, in even rows loud and in odd ones quiet."""
    noise = np.random.default_rng(0).uniform(-1, 1, (N_CLIPS, N_SAMPLES))
    return (noise * np.where(np.arange(N_CLIPS) % 2, 300, 30_000)[:, None]).astype(np.int16)


class Pairs(GroupDraws):
    """A clip, and another one of the other loudness; the target is 1 where the clip is loud."""

    group_size = 2

    def __init__(self, rows: Sequence[int] = range(N_CLIPS)) -> None:
        self.rows = np.array(rows)
        self.drawn: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, index: int, rng: np.random.Generator) -> Group:
        row = self.rows[index]
        rows = np.array([row, rng.choice(self.rows[self.rows % 2 != row % 2])])
        self.drawn.append(tuple(rows.tolist()))
        return Group(rows, (np.array([row % 2 == 0], np.float32),))

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return (self.rows,)


class TellLoud(Objective):
    """The first number of the embedding is higher for the loud clip."""

    def __init__(self, *, sums: bool = False) -> None:
        super().__init__()
        self.sums = sums

    def forward(self, encoded: Encoded, *targets: Tensor) -> Judged:
        (is_loud,) = targets
        difference = encoded.embedding[:, 0, 0] - encoded.embedding[:, 1, 0]  # (B, 2, D) -> (B,)
        signed = torch.where(is_loud[:, 0] == 1, difference, -difference)
        return Judged({"margin": (1 - signed).relu()}, {"told": (signed > 0).float()})
