"""Hyperparameters of an encoder that learns users' preference; imports nothing heavy.

Source of the defaults: Chen and Liang 2020 (margin, one pair), the code of Lee et al.'s
deep-content-user (optimiser, batch).

That code's learning rate is 0.2, without a penalty. The loss knows directions alone, and without
batch norm nothing holds the lengths of vectors: at that rate they grew to 10⁶, and half of the
features died. Rate and penalty were chosen by the validation loss: see docs/leaderboard.md.
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
    learning_rate: Annotated[float, Doc("Initial learning rate."), Ge(0)] = 0.02
    max_epochs: Annotated[int, Doc("Maximum number of epochs; 0: no limit."), Ge(0)] = 500
    kernel_l2: Annotated[
        float, Doc("Penalty on kernels, added to the loss: this times their sum of squares."), Ge(0)
    ] = 1e-4
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
