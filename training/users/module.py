"""Lightning module and data set of the user tower: entries of the logs, sampled softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from training.fitting.dataset import AudioDataset, Loader
from training.fitting.sampling import NumberedSampler
from training.users.held_out import HeldOutEntries, pad_histories
from training.users.network import UserTower, sampled_softmax
from training.users.settings import UserSettings

Indices = NDArray[np.int64]


class EntryDataset(AudioDataset):
    """torch data set of entries of the logs: a user's row and an item's column, both int64 ()."""

    def __init__(self, users: Indices, items: Indices) -> None:
        self.users, self.items = users, items

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return self.users, self.items

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        index = number % len(self)  # numbers of `NumberedSampler` count epochs too
        return torch.tensor(self.users[index]), torch.tensor(self.items[index])


def make_loaders(entries: HeldOutEntries, settings: UserSettings) -> tuple[Loader, Loader]:
    """Every training entry once an epoch, in a random order; the validation entries in theirs."""
    training = entries.training.tocoo()
    users = np.flatnonzero(entries.validation >= 0)
    fitted = EntryDataset(training.row.astype(np.int64), training.col.astype(np.int64))
    return (
        DataLoader(
            fitted,
            settings.batch_size,
            sampler=NumberedSampler(len(fitted), settings.seed),
            num_workers=settings.workers,
        ),
        DataLoader(EntryDataset(users, entries.validation[users]), settings.batch_size),
    )


class UserModule(L.LightningModule):
    """Lightning module: the tower predicts an item of a user from the user's other items.

    The item that is predicted is left out of its history, and told from items that the user does
    not have: against the user's other items it would learn that what is in a history, and all that
    is like it, does not come next. The validation loss is the cross-entropy of each user's
    validation item, among all items but the user's training items.
    """

    histories: Tensor
    log_shares: Tensor

    def __init__(self, entries: HeldOutEntries, settings: UserSettings) -> None:
        super().__init__()
        self.settings = settings
        n_items = entries.training.shape[1]
        self.tower = UserTower(n_items, settings.dim, settings.hidden)
        counts = np.asarray(entries.training.getnnz(0), np.float64)
        shares = counts / counts.sum()
        self.cumulative = np.cumsum(shares)
        # Apart from the histories, which leave out items beyond `max_history`.
        self.training_items = entries.training.astype(bool)
        padded = pad_histories(entries.training, settings.max_history, settings.seed)
        with np.errstate(divide="ignore"):
            log_shares = np.log(shares)  # -inf for items that are never drawn, nor trained on
        # Not in checkpoints: they are inputs.
        self.register_buffer("histories", torch.from_numpy(padded), persistent=False)
        self.register_buffer("log_shares", torch.from_numpy(log_shares).float(), persistent=False)

    def draw_negatives(self, step: int) -> Tensor:
        """Items drawn by their share of the entries, with replacement; by seed and step alone."""
        rng = np.random.default_rng((self.settings.seed, step))
        drawn = np.searchsorted(self.cumulative, rng.random(self.settings.negatives), "right")
        # The sum of the shares may be a little less than 1.
        return torch.from_numpy(np.minimum(drawn, len(self.cumulative) - 1)).to(self.device)

    def find_known(self, users: Tensor) -> Tensor:
        """Which items are training items of users, heard or not: bool, (batch, n_items)."""
        known = self.training_items[users.cpu().numpy()].toarray()
        return torch.from_numpy(known).to(users.device)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        users, items = batch
        others = self.histories[users]
        padding = len(self.log_shares)
        others = torch.where(others == items[:, None], padding, others)
        drawn = self.draw_negatives(self.global_step)
        vectors = self.tower.item_vectors
        loss = sampled_softmax(
            self.tower(others),
            vectors[items],
            vectors[drawn],
            (self.log_shares[items], self.log_shares[drawn]),
            self.find_known(users)[:, drawn],
        )
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(users))
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        users, items = batch
        scores = self.tower(self.histories[users]) @ self.tower.item_vectors.T
        scores = scores.masked_fill(self.find_known(users), float("-inf"))
        loss = functional.cross_entropy(scores, items)
        self.log("val_loss", loss, batch_size=len(users), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # The gradient of l2 · Σ w² is 2 · l2 · w.
        return torch.optim.Adam(
            self.parameters(), self.settings.learning_rate, weight_decay=2 * self.settings.l2
        )
