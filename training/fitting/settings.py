"""Hyperparameters that every training run has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted.

    With `crop_s` 0 it trains on whole windows, as the paper does. Else it trains on random crops
    and hears a window as the mean of segments of that length.
    """

    batch_size: int = 16
    learning_rate: float = 1e-3
    max_epochs: int = 50
    patience: int = 10
    crop_s: float = 0.0
    cosine_schedule: bool = False
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    workers: int = 0
    seed: int = 0
