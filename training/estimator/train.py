"""Encoder training: prepared windows and item factors -> a checkpoint.

Source: Lee et al. 2020, section 3.1. Adam, 1e-3, MSE + cosine proximity, the checkpoint with the
lowest validation loss. Not in the paper: unit-length targets, crops and a cosine schedule.
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
from training.cf.settings import AlsSettings
from training.errors import MissingInput, NothingToTrain, OtherAudio
from training.estimator.settings import EstimatorSettings, TargetScale
from training.estimator.space import SPACE
from training.fitting.dataset import Loader, make_loader
from training.fitting.trainer import BEST, SETTINGS, AudioModule, fit, seed_and_silence
from training.networks.base import Encoder
from training.networks.losses import cosine_proximity, embedding_loss
from training.networks.registry import DEFAULT_ENCODER, encoder_class


def join_targets(
    tracks: pd.DataFrame, factors: Factorization, scale: TargetScale
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of `windows` and their targets, for the tracks whose item has a factor.

    With `unit`, each factor is divided by its length. The length grows with the number of plays,
    which the audio does not determine, and would let a few popular items dominate the squared
    error.
    """
    known, targets = scaled_targets(tracks["item_id"], factors, scale)
    return tracks["row"].to_numpy(np.int64)[known], targets[known]


def scaled_targets(
    items: pd.Series, factors: Factorization, scale: TargetScale
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Whether each item has a factor, and its target: shape (n,) and (n, dim), 0 without one."""
    position = factors.items.get_indexer(items)
    known = position >= 0
    targets = np.where(known[:, None], factors.item_factors[position], 0)
    if scale == "unit":
        targets = targets / np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), 1e-12)
    return known, targets.astype(np.float32)


class EstimatorModule(AudioModule):
    """Lightning module of an encoder that regresses item factors.

    Checkpoints store the arguments as hyperparameters. Checkpoints of older versions have neither
    `encoder` nor `embedding_dim`; the defaults are their values.
    """

    def __init__(
        self,
        width: int,
        crop_s: float,
        learning_rate: float,
        cosine_schedule: bool,
        encoder: str = DEFAULT_ENCODER,
        embedding_dim: int = AlsSettings.factors,
    ) -> None:
        network = encoder_class(encoder).build(
            width=width, embedding_dim=embedding_dim, crop_s=crop_s
        )
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
    """Train, keeping the checkpoint with the lowest validation loss; returns its path.

    `out` receives the split, the CF space of the factors, and what `training.fitting.trainer.fit`
    writes.

    Raises
    ------
    UnknownEncoder
    OtherAudio
        If the windows have another sample rate or length than the encoder takes.
    NothingToTrain
        If a part has no window whose item has a factor.
    OtherRun
        If `out` holds a run with other settings, factors or split.
    """
    audio = encoder_class(settings.encoder).audio
    if prepared.audio != audio:
        raise OtherAudio(prepared.audio, settings.encoder, audio)
    seed_and_silence(settings)
    training = _make_loader(prepared, factors, split, "train", settings)
    validation = _make_loader(prepared, factors, split, "validation", settings)
    module = EstimatorModule(
        settings.width,
        settings.crop_s,
        settings.learning_rate,
        settings.cosine_schedule,
        settings.encoder,
        factors.item_factors.shape[1],
    )
    return fit(
        module,
        training,
        validation,
        out,
        settings,
        extra_identity={"split.csv": split.to_csv(index=False)},
        # No part of the identity, which has the targets: a run without a record can be resumed.
        records={SPACE: f"{factors.space}\n"},
        resume=resume,
    )


def _make_loader(
    prepared: Prepared,
    factors: Factorization,
    split: pd.DataFrame,
    part: str,
    settings: EstimatorSettings,
) -> Loader:
    track_ids = split.loc[split["part"] == part, "track_id"]
    tracks = prepared.tracks[prepared.tracks["track_id"].isin(track_ids)]
    rows, targets = join_targets(tracks, factors, settings.targets)
    if not len(rows):
        raise NothingToTrain(part, len(tracks))
    return make_loader(
        prepared.windows,
        rows,
        targets,
        settings=settings,
        crop_samples=encoder_class(settings.encoder).crop_samples(settings.crop_s),
        patch_samples=prepared.audio.patch_samples,
        training=part == "train",
    )


def load_network(run: Path) -> tuple[Encoder, EstimatorSettings]:
    """The best network of a run in evaluation mode, and the settings that it was trained with.

    Raises
    ------
    MissingInput
        If `run` holds no finished run.
    UnknownEncoder
    """
    try:
        settings = EstimatorSettings(**json.loads((run / SETTINGS).read_text()))
        module = EstimatorModule.load_from_checkpoint(
            run / BEST, map_location="cpu", crop_s=settings.crop_s
        )
    except FileNotFoundError as error:
        raise MissingInput(run, "tasteprint-train estimator") from error
    network = module.network
    assert isinstance(network, Encoder)
    return network.eval(), settings
