"""Options of the network of `mine`; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc

from training.fitting.settings import Accelerator, Trainable


@dataclass(frozen=True)
class NetworkSettings:
    """From how many songs on a network is fine-tuned, and how.

    The network starts from the best linear candidate, so that what is trained is only what the
    songs add to it: by small steps, Adam moving each weight by the learning rate at most.
    """

    network_from: Annotated[
        int,
        Doc(
            "Fine-tune the best encoder too where so many songs are heard and played, and take it "
            "if it is better on held-out artists; 0: never."
        ),
        Ge(0),
    ] = 10_000
    network_folds: Annotated[
        int, Doc("Folds of held-out artists that judge the network; each trains it twice."), Ge(1)
    ] = 1
    network_epochs: Annotated[
        int, Doc("Maximum number of times that the network hears each song in a training."), Ge(1)
    ] = 10
    network_patience: Annotated[
        int, Doc("Epochs without a lower loss on validation artists before training ends."), Ge(1)
    ] = 2
    learning_rate: Annotated[float, Doc("Learning rate of the network."), Ge(0)] = 1e-5
    batch_size: Annotated[int, Doc("Songs per training step of the network."), Ge(1)] = 16
    trainable: Annotated[
        Trainable,
        Doc("Train everything, the last blocks of the network, or the embedding layer alone."),
    ] = "all"
    accelerator: Annotated[Accelerator, Doc("Device to train the network on.")] = "auto"

    def applies(self, n_songs: int) -> bool:
        return 0 < self.network_from <= n_songs

    def training_record(self) -> dict[str, int | float | str]:
        """What a training depends on: not when there is one, how often, and on which device."""
        free = ("network_from", "network_folds", "accelerator")
        return {name: value for name, value in vars(self).items() if name not in free}
