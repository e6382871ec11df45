"""Training the CF estimator: prepared windows and item factors -> a checkpoint.

Source: Lee et al. 2020, section 3.1. Adam, 1e-3, MSE + cosine proximity, the checkpoint with the
best validation loss. Ours are the options: unit-normalised targets, crops, a cosine schedule.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.errors import MissingInput, NothingToTrain
from training.estimator.settings import EstimatorSettings, TargetScale
from training.fitting.dataset import Loader, loader
from training.fitting.trainer import BEST, SETTINGS, AudioModule, begin, fit
from training.networks.cf_estimator import CFEstimator, crop_frames
from training.networks.losses import cosine_proximity, embedding_loss


def join_targets(
    tracks: pd.DataFrame, factors: Factorization, scale: TargetScale
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of `windows` and their factors, for the tracks whose item has one.

    With `unit`, each factor is divided by its length: an item's length tells how often it was
    played, which is not to be heard, and lets a few popular items dominate the squared error.
    """
    position = factors.items.get_indexer(tracks["item_id"])
    known = position >= 0
    targets = factors.item_factors[position[known]]
    if scale == "unit":
        targets = targets / np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), 1e-12)
    return tracks["row"].to_numpy(np.int64)[known], targets.astype(np.float32)


class EstimatorModule(AudioModule):
    """The network, its spectrogram on the training device, its loss and its optimiser."""

    def __init__(
        self, width: int, segment_frames: int, learning_rate: float, cosine_schedule: bool
    ) -> None:
        network = CFEstimator(width, segment_frames)
        super().__init__(network, learning_rate, cosine_schedule)
        self.save_hyperparameters()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        window, target = batch
        loss = embedding_loss(self(window).embedding, target)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(target))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        window, target = batch
        predicted = self(window).embedding
        measures = {
            "val_loss": embedding_loss(predicted, target),
            "val_cosine": -cosine_proximity(predicted, target),
        }
        self.log_dict(measures, prog_bar=True, batch_size=len(target), sync_dist=True)


def train(
    prepared: Prepared,
    factors: Factorization,
    split: pd.DataFrame,
    out: Path,
    settings: EstimatorSettings,
    *,
    resume: bool = True,
) -> Path:
    """Train, keeping the checkpoint with the least validation loss; returns its path.

    `out` receives the split and what `training.fitting.trainer.fit` writes.

    Raises
    ------
    NothingToTrain
        Where a part has no window whose item has a factor.
    OtherRun
        Where `out` holds a run with other settings, factors or split.
    """
    begin(settings)
    training = _loader(prepared, factors, split, "train", settings)
    validation = _loader(prepared, factors, split, "validation", settings)
    module = EstimatorModule(
        settings.width,
        crop_frames(settings.crop_s),
        settings.learning_rate,
        settings.cosine_schedule,
    )
    listing = {"split.csv": split.to_csv(index=False)}
    return fit(module, training, validation, out, settings, beside=listing, resume=resume)


def _loader(
    prepared: Prepared,
    factors: Factorization,
    split: pd.DataFrame,
    part: str,
    settings: EstimatorSettings,
) -> Loader:
    wanted = split.loc[split["part"] == part, "track_id"]
    tracks = prepared.tracks[prepared.tracks["track_id"].isin(wanted)]
    rows, targets = join_targets(tracks, factors, settings.targets)
    if not len(rows):
        raise NothingToTrain(part, len(tracks))
    return loader(prepared.windows, rows, targets, settings=settings, training=part == "train")


def load_network(run: Path) -> tuple[CFEstimator, EstimatorSettings]:
    """The best network of a run in evaluation mode, and the settings it was trained with."""
    try:
        settings = EstimatorSettings(**json.loads((run / SETTINGS).read_text()))
        module = EstimatorModule.load_from_checkpoint(run / BEST, map_location="cpu")
    except FileNotFoundError as error:
        raise MissingInput(run, "tasteprint-train estimator") from error
    network = module.network
    assert isinstance(network, CFEstimator)
    return network.eval(), settings
