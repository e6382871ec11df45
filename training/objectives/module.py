"""Lightning module of an encoder that is trained by groups of crops, and the networks of its runs.

An objective is what differs between the papers that train so: the loss of a group's embeddings.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from training.errors import MissingInput
from training.fitting.settings import SETTINGS
from training.fitting.trainer import BEST, AudioModule
from training.networks.base import Encoded, Encoder
from training.networks.registry import encoder_class
from training.objectives.settings import GroupSettings

MOMENTUM = 0.9
PLATEAU_FACTOR = 0.2
VALIDATION_LOSS = "val_loss"
NETWORK = "network."
Settings = TypeVar("Settings", bound=GroupSettings)


class Judged(NamedTuple):
    """Name → value of each group, shape (batch,).

    Attributes
    ----------
    losses : their sum is trained on, and validates
    measures : logged beside them
    """

    losses: Mapping[str, Tensor]
    measures: Mapping[str, Tensor] = {}


class Objective(nn.Module, ABC):
    """Base class of the objectives: what the encoder says of groups -> their losses.

    Layers of an objective are trained too, and are no part of the network.

    Attributes
    ----------
    sums : whether a batch's loss is the sum over its groups, not the mean
    """

    sums = False

    @abstractmethod
    def forward(self, encoded: Encoded, *targets: Tensor) -> Judged:
        """Losses of a batch of groups.

        Parameters
        ----------
        encoded : each of shape (batch, group_size, dim)
        targets : of the groups, shape (batch, …)
        """


class Plateau(nn.Module):
    """Counts validations without a lower loss; a buffer, so that checkpoints hold the count."""

    lowest: Tensor
    n_worse: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("lowest", torch.tensor(torch.inf))
        self.register_buffer("n_worse", torch.tensor(0))

    def is_reached(self, loss: Tensor, patience: int) -> bool:
        """Whether that many validations in a row, this one included, had no lower loss."""
        is_lower = bool(loss < self.lowest)
        self.lowest.copy_(torch.minimum(loss, self.lowest))
        self.n_worse.copy_(torch.tensor(0 if is_lower else int(self.n_worse) + 1))
        if int(self.n_worse) < patience:
            return False
        self.n_worse.zero_()
        return True


class GroupModule(AudioModule):
    """Lightning module: an encoder hears the crops of groups, an objective judges them.

    Batches: int16 (batch, group_size, crop_samples), and the targets of the groups.
    """

    def __init__(self, network: Encoder, objective: Objective, settings: GroupSettings) -> None:
        super().__init__(network, settings.learning_rate, settings.cosine_schedule)
        self.objective, self.settings, self.plateau = objective, settings, Plateau()
        self.validation_sum = torch.zeros(2)

    def judge(self, batch: list[Tensor]) -> Judged:
        crops, *targets = batch
        encoded = self(crops.flatten(0, 1))  # (B, k, n) -> (B · k, n) -> (B · k, D)
        embedding, features = (output.unflatten(0, crops.shape[:2]) for output in encoded)
        judged: Judged = self.objective(Encoded(embedding, features), *targets)
        return judged

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        judged = self.judge(batch)
        loss = total(judged.losses)  # (B,)
        self._log({"train_loss": loss})
        return loss.sum() if self.objective.sums else loss.mean()

    def on_validation_epoch_start(self) -> None:
        self.validation_sum = torch.zeros(2, device=self.device)

    def on_validation_epoch_end(self) -> None:
        """Log the mean loss of a group, and lower the learning rate on a plateau.

        Here, and not by a schedule of Lightning's, whose state the checkpoint of this validation
        would not hold.
        """
        sums = self.trainer.strategy.reduce(self.validation_sum, reduce_op="sum")
        assert isinstance(sums, Tensor)
        loss = sums[0] / sums[1]
        self.log(VALIDATION_LOSS, loss, prog_bar=True)
        patience = self.settings.plateau_patience
        if (
            patience
            and not self.trainer.sanity_checking
            and self.plateau.is_reached(loss, patience)
        ):
            for group in self.trainer.optimizers[0].param_groups:
                group["lr"] *= PLATEAU_FACTOR

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        judged = self.judge(batch)
        losses = total(judged.losses)
        self.validation_sum += torch.stack([losses.sum(), losses.new_tensor(len(losses))])
        several = judged.losses if len(judged.losses) > 1 else {}
        parts = {f"{VALIDATION_LOSS}/{name}": loss for name, loss in several.items()}
        self._log(parts | {f"val_{name}": value for name, value in judged.measures.items()})

    def _log(self, values: Mapping[str, Tensor]) -> None:
        """Log the mean over the groups of an epoch, on all devices."""
        for name, value in values.items():
            self.log(
                name,
                value.detach().mean(),
                on_step=False,
                on_epoch=True,
                batch_size=len(value),
                sync_dist=True,
            )

    def parameter_groups(self) -> Any:
        if not self.settings.kernel_l2:
            return super().parameter_groups()
        kernels = [weight for weight in self.parameters() if weight.ndim > 1]
        others = [weight for weight in self.parameters() if weight.ndim <= 1]
        # The gradient of l2 · Σ w² is 2 · l2 · w.
        return [
            {"params": kernels, "weight_decay": 2 * self.settings.kernel_l2},
            {"params": others},
        ]

    def make_optimizer(self) -> torch.optim.Optimizer:
        if self.settings.optimizer == "adam":
            return super().make_optimizer()
        return torch.optim.SGD(
            self.parameter_groups(), self.learning_rate, momentum=MOMENTUM, nesterov=True
        )

    def make_schedule(
        self, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler | None:
        decay = self.settings.rate_decay
        if self.cosine_schedule or self.settings.plateau_patience or not decay:
            return super().make_schedule(optimizer)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + decay * step))


def total(losses: Mapping[str, Tensor]) -> Tensor:
    """Sum of the losses of each group, shape (batch,)."""
    return torch.stack(list(losses.values())).sum(0)


def make_network(settings: GroupSettings) -> Encoder:
    """The encoder of the settings, with random weights.

    Raises
    ------
    UnknownEncoder, BadCrop, BadPatches
    """
    kind = encoder_class(settings.encoder)
    network = kind.build(
        width=settings.width,
        embedding_dim=settings.embedding_dim or settings.width,
        crop_s=settings.crop_s,
    )
    if not settings.embedding_dim:
        network.replace_embedding(network.features_dim)
    network.audio = kind.patched_audio(settings.patches, settings.patch_s)
    return network


def load_network(run: Path, kind: type[Settings], command: str) -> tuple[Encoder, Settings]:
    """The best network of a run in evaluation mode, and the settings that it was trained with.

    Parameters
    ----------
    kind : of the settings
    command : of `tasteprint-train`, which makes such runs

    Raises
    ------
    MissingInput
        If `run` holds no finished run.
    UnknownEncoder
    """
    try:
        settings = kind(**json.loads((run / SETTINGS).read_text()))
        state = torch.load(run / BEST, map_location="cpu", weights_only=True)["state_dict"]
    except (OSError, ValueError, TypeError) as error:
        raise MissingInput(run, f"tasteprint-train {command}") from error
    network = make_network(settings)
    weights = {
        name.removeprefix(NETWORK): weight
        for name, weight in state.items()
        if name.startswith(NETWORK)
    }
    network.load_state_dict(weights)
    return network.eval(), settings
