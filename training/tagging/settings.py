"""Hyperparameters of an encoder that learns labels; imports nothing heavy.

Source of the defaults: the code of Lee et al. 2017 (SampleCNN).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc

from training.objectives.settings import GroupSettings, Optimizer


@dataclass(frozen=True)
class TaggingSettings(GroupSettings):
    """`GroupSettings`, and how many labels are learnt.

    As in the code, the learning rate is divided by five each time that the validation loss has not
    fallen for three epochs; there each stage begins with the best weights of the last one.
    """

    batch_size: Annotated[int, Doc("Clips per step and device."), Ge(1)] = 23
    learning_rate: Annotated[float, Doc("Initial learning rate."), Ge(0)] = 0.01
    crop_s: Annotated[
        float, Doc("Length of the random segments in seconds; sample-level: 3.69, one segment.")
    ] = 3.69
    encoder: Annotated[str, Doc("Network architecture, a name in the registry of encoders.")] = (
        "sample-level"
    )
    width: Annotated[
        int,
        Doc("Channels; sample-level: filters of the first layers, half of the features."),
        Ge(1),
    ] = 128
    optimizer: Annotated[
        Optimizer, Doc("Adam, or stochastic gradient descent with Nesterov's momentum of 0.9.")
    ] = "sgd"
    plateau_patience: Annotated[
        int,
        Doc(
            "Divide the learning rate by five after so many validations without a lower loss, in "
            "place of the decay; 0: never. Less than the patience."
        ),
        Ge(0),
    ] = 3
    validation_draws: Annotated[
        int, Doc("Segments that a validation draws of each clip, always the same ones."), Ge(1)
    ] = 3
    max_labels: Annotated[
        int, Doc("Learn so many labels, the most frequent among the training clips."), Ge(2)
    ] = 50
    min_clips: Annotated[
        int, Doc("Minimum number of training clips of a label that is learnt."), Ge(1)
    ] = 10
