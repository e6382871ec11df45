"""A small fit on as many CPU processes as asked for: `python -m … OUT DEVICES`.

A program of its own, as DDP starts the program again for each further process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from torch import nn

from tests.training.networks.tiny_encoder import NAME, TinyEncoder
from training.estimator.module import EstimatorModule
from training.fitting.dataset import make_loader
from training.fitting.sampling import EpochSampler
from training.fitting.settings import FitSettings
from training.fitting.trainer import fit, seed_and_silence
from training.networks import registry
from training.networks.registry import Entry

N_CLIPS, N_VALIDATION, N_DRAWS, BATCH = 30, 7, 48, 8


class Plain(TinyEncoder):
    """Without batch norm, whose statistics are of a process's own share."""

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__(width, embedding_dim)
        self.norm = nn.Identity()  # type: ignore[assignment]


def main(out: Path, devices: int) -> None:
    registry.ENCODERS[NAME] = Entry("tests.training.fitting.ddp_run:Plain")
    rng = np.random.default_rng(0)
    windows = rng.integers(-20_000, 20_000, (N_CLIPS, 16_000)).astype(np.int16)
    windows[::2] //= 20
    targets = rng.normal(size=(N_CLIPS, 6)).astype(np.float32)
    rows = np.arange(N_CLIPS)
    settings = FitSettings(
        batch_size=BATCH // devices, max_epochs=3, devices=devices, accelerator="cpu"
    )
    seed_and_silence(settings)
    sampler = EpochSampler(np.linspace(1, 3, N_CLIPS), N_DRAWS, seed=0)

    def make(part: np.ndarray, *, training: bool):  # type: ignore[no-untyped-def]
        return make_loader(
            windows,
            part,
            targets[part],
            settings=settings,
            crop_samples=0,
            patch_samples=16_000,
            training=training,
            sampler=sampler if training else None,
        )

    module = EstimatorModule(4, 0.0, 1e-2, False, NAME, 6)
    training, validation = make(rows, training=True), make(rows[:N_VALIDATION], training=False)
    fit(module, training, validation, out, settings, show_progress=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
