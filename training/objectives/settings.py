"""Hyperparameters of an encoder that is trained by groups of crops; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from typing_extensions import Doc

from training.errors import BadPlateau
from training.fitting.settings import FitSettings
from training.networks.registry import DEFAULT_ENCODER

Optimizer = Literal["adam", "sgd"]


@dataclass(frozen=True)
class GroupSettings(FitSettings):
    """`FitSettings`, the network, and the optimiser of the papers that train by groups.

    Crops are drawn from anywhere in windows that are prepared whole. A batch is of groups, so the
    network hears `batch_size` · crops of a group in a step.

    Raises
    ------
    BadPlateau
        If the run would end before the rate is lowered.
    """

    encoder: Annotated[str, Doc("Network architecture, a name in the registry of encoders.")] = (
        DEFAULT_ENCODER
    )
    width: Annotated[
        int, Doc("Channels of the network, as its architecture counts them."), Ge(1)
    ] = 32
    embedding_dim: Annotated[
        int, Doc("Dimension of the embedding; 0: that of the encoder's features."), Ge(0)
    ] = 0
    patches: Annotated[
        int,
        Doc(
            "Number of patches of a window that the exported network hears, in the centres of "
            "equal parts; 0: its default input."
        ),
        Ge(0),
    ] = 0
    patch_s: Annotated[
        float, Doc("Length of a patch in seconds; 0: of the encoder's default."), Ge(0)
    ] = 0.0
    optimizer: Annotated[
        Optimizer, Doc("Adam, or stochastic gradient descent with Nesterov's momentum of 0.9.")
    ] = "adam"
    rate_decay: Annotated[
        float, Doc("Decay of the learning rate: it is divided by 1 + decay · steps."), Ge(0)
    ] = 0.0
    plateau_patience: Annotated[
        int,
        Doc(
            "Divide the learning rate by five after so many validations without a lower loss, in "
            "place of the decay; 0: never. Less than the patience."
        ),
        Ge(0),
    ] = 0
    kernel_l2: Annotated[
        float, Doc("Penalty on kernels, added to the loss: this times their sum of squares."), Ge(0)
    ] = 0.0
    validation_draws: Annotated[
        int, Doc("Groups that a validation draws of each anchor, always the same ones."), Ge(1)
    ] = 1

    def __post_init__(self) -> None:
        if self.plateau_patience >= self.patience:
            raise BadPlateau(self.plateau_patience, self.patience)


@dataclass(frozen=True)
class SegmentSettings(GroupSettings):
    """`GroupSettings`, with the defaults of the codes that compare segments of 3 s."""

    patience: Annotated[
        int, Doc("Validations without a lower validation loss before stopping."), Ge(1)
    ] = 20
    crop_s: Annotated[float, Doc("Length of the random segments in seconds.")] = 3.0
    optimizer: Annotated[
        Optimizer, Doc("Adam, or stochastic gradient descent with Nesterov's momentum of 0.9.")
    ] = "sgd"
    rate_decay: Annotated[
        float, Doc("Decay of the learning rate: it is divided by 1 + decay · steps."), Ge(0)
    ] = 1e-6
