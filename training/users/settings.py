"""Hyperparameters of user vectors; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from typing_extensions import Doc

from training.fitting.settings import FitSettings


@dataclass(frozen=True)
class UserSettings(FitSettings):
    """Hyperparameters of the network that makes vectors of users from their histories.

    Sizes, history, L2 and at least five negatives: defaults of DeepMatch's YoutubeDNN, the nearest
    published code of what the paper does not describe.
    """

    batch_size: Annotated[int, Doc("Entries of the logs per step."), Ge(1)] = 256
    max_epochs: Annotated[int, Doc("Maximum number of epochs; 0: no limit."), Ge(0)] = 50
    patience: Annotated[
        int, Doc("Validations without a lower validation loss before stopping."), Ge(1)
    ] = 3
    dim: Annotated[int, Doc("Dimension of the vectors of users and items."), Ge(1)] = 40
    hidden: Annotated[int, Doc("Units of the hidden layer."), Ge(1)] = 64
    max_history: Annotated[
        int,
        Doc("Maximum number of a user's items whose vectors are averaged; others by chance."),
        Ge(1),
    ] = 50
    negatives: Annotated[
        int, Doc("Items drawn by popularity for each step, against which entries score."), Ge(5)
    ] = 1000
    l2: Annotated[float, Doc("L2 penalty on all weights."), Ge(0)] = 1e-6
    test_share: Annotated[
        float, Doc("Share of each user's items that the report is measured on."), Ge(0), Le(0.9)
    ] = 0.2
    min_entries: Annotated[int, Doc("Users with fewer items have none held out."), Ge(3)] = 5
