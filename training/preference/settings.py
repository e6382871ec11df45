"""Hyperparameters of an encoder that learns users' preference; imports nothing heavy.

Source of the defaults: Chen and Liang 2020 (margin, one pair), the code of Lee et al.'s
deep-content-user (optimiser, batch).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc

from training.objectives.settings import SegmentSettings


@dataclass(frozen=True)
class PreferenceSettings(SegmentSettings):
    """`SegmentSettings`, and the margin. The loss is a sum over the pairs of a batch."""

    batch_size: Annotated[int, Doc("Pairs per step and device."), Ge(1)] = 10
    learning_rate: Annotated[float, Doc("Initial learning rate."), Ge(0)] = 0.2
    max_epochs: Annotated[int, Doc("Maximum number of epochs; 0: no limit."), Ge(0)] = 500
    encoder: Annotated[str, Doc("Network architecture, a name in the registry of encoders.")] = (
        "preference-tower"
    )
    width: Annotated[
        int, Doc("Channels; preference-tower: filters of the later layers."), Ge(1)
    ] = 256
    validation_draws: Annotated[
        int, Doc("Pairs that a validation draws of each clip, always the same ones."), Ge(1)
    ] = 4
    margin: Annotated[
        float, Doc("By which the liked clip's cosine to the user must exceed the disliked one's.")
    ] = 0.2
