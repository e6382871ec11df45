"""Training the CF estimator: prepared windows and item factors -> a checkpoint.

Source: Lee et al. 2020, section 3.1. Adam, 1e-3, MSE + cosine proximity, the checkpoint with the
best validation loss. Ours are the options: unit-normalised targets, crops, a cosine schedule.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.errors import MissingInput, NothingToTrain, OtherRun
from training.factorize import Factorization
from training.losses import cosine_proximity, embedding_loss
from training.mel import HOP_LENGTH, SAMPLE_RATE, MelSpectrogram
from training.networks.cf_estimator import CFEstimator, Encoded
from training.prepare import FULL_SCALE, Prepared

TargetScale = Literal["unit", "raw"]
# What the network's pooling divides time by: crops are multiples of it, in frames.
POOLED_FRAMES = 320
IDENTITY = "identity.json"
# What a run may be gone on with; a cosine schedule fixes its number of epochs too.
FREE_TO_CHANGE = {"max_epochs", "patience", "accelerator", "devices", "workers"}


@dataclass(frozen=True)
class EstimatorSettings:
    """One training run.

    With `crop_s` 0 it trains on whole windows, as the paper does. Else it trains on random crops
    and hears a window as the mean of segments of that length.
    """

    width: int = 32
    batch_size: int = 16
    learning_rate: float = 1e-3
    max_epochs: int = 50
    patience: int = 10
    crop_s: float = 0.0
    cosine_schedule: bool = False
    targets: TargetScale = "unit"
    seed: int = 0
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    workers: int = 0


class WindowDataset(Dataset[tuple[Tensor, Tensor]]):
    """Windows with their item's factor; each a random crop where `crop_samples` is given.

    Items are int16 (n_samples,) and float32 (40,).
    """

    def __init__(
        self,
        windows: NDArray[np.int16],
        rows: NDArray[np.int64],
        targets: NDArray[np.float32],
        crop_samples: int = 0,
    ) -> None:
        self.windows, self.rows, self.targets = windows, rows, targets
        self.crop_samples = crop_samples

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        window = self.windows[self.rows[index]]
        if self.crop_samples:
            start = int(torch.randint(window.size - self.crop_samples + 1, ()))
            window = window[start : start + self.crop_samples]
        return torch.from_numpy(np.array(window)), torch.from_numpy(self.targets[index])


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


class EstimatorModule(L.LightningModule):
    """The network, its spectrogram on the training device, its loss and its optimiser."""

    def __init__(
        self, width: int, segment_frames: int, learning_rate: float, cosine_schedule: bool
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.mel = MelSpectrogram()
        network = CFEstimator(width, segment_frames)
        # Channels last: a third less time on a CPU, and tensor cores on a GPU.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, window: Tensor) -> Encoded:
        """int16 (B, n) -> `Encoded`; the spectrogram stays float32 under mixed precision."""
        with torch.autocast(window.device.type, enabled=False):
            spectrogram = self.mel(window.float() / FULL_SCALE)
        encoded: Encoded = self.network(spectrogram.contiguous(memory_format=torch.channels_last))
        return Encoded(encoded.embedding.float(), encoded.features.float())

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

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])
        if not self.hparams["cosine_schedule"]:
            return optimizer
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


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

    `out` receives the settings, the split, `last.ckpt`, `best.ckpt`, CSV and TensorBoard logs.
    A run that was stopped goes on from `last.ckpt`.

    Raises
    ------
    NothingToTrain
        Where a part has no window whose item has a factor.
    OtherRun
        Where `out` holds a run with other settings, factors or split.
    """
    # Lightning's hints and advertisements; its progress bar and its errors stay.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    L.seed_everything(settings.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")
    training = _loader(prepared, factors, split, "train", settings)
    validation = _loader(prepared, factors, split, "validation", settings)
    last = out / "last.ckpt"
    resume = resume and last.exists()
    _claim(out, settings, split, [training, validation], resume)
    module = EstimatorModule(
        settings.width,
        crop_frames(settings.crop_s),
        settings.learning_rate,
        settings.cosine_schedule,
    )
    trainer, best = _trainer(out, settings)
    trainer.fit(module, training, validation, ckpt_path=last if resume else None)
    return Path(best.best_model_path)


def _claim(
    out: Path,
    settings: EstimatorSettings,
    split: pd.DataFrame,
    loaders: list[DataLoader[tuple[Tensor, Tensor]]],
    resume: bool,
) -> None:
    """Note what this run is; a run of other data or settings is not gone on with."""
    free = FREE_TO_CHANGE - ({"max_epochs"} if settings.cosine_schedule else set())
    fixed = {name: value for name, value in asdict(settings).items() if name not in free}
    inputs = hashlib.sha256(split.to_csv(index=False).encode())
    for loader in loaders:
        dataset = loader.dataset
        assert isinstance(dataset, WindowDataset)
        inputs.update(dataset.rows.tobytes() + dataset.targets.tobytes())
    identity = json.dumps(fixed | {"inputs_sha256": inputs.hexdigest()}, indent=2) + "\n"
    known = (out / IDENTITY).read_text() if (out / IDENTITY).exists() else ""
    if resume and known != identity:
        raise OtherRun(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / IDENTITY).write_text(identity)
    (out / "settings.json").write_text(json.dumps(asdict(settings), indent=2) + "\n")
    split.to_csv(out / "split.csv", index=False)


def _loader(
    prepared: Prepared,
    factors: Factorization,
    split: pd.DataFrame,
    part: str,
    settings: EstimatorSettings,
) -> DataLoader[tuple[Tensor, Tensor]]:
    wanted = split.loc[split["part"] == part, "track_id"]
    tracks = prepared.tracks[prepared.tracks["track_id"].isin(wanted)]
    rows, targets = join_targets(tracks, factors, settings.targets)
    if not len(rows):
        raise NothingToTrain(part, len(tracks))
    is_train = part == "train"
    crop = crop_frames(settings.crop_s) * HOP_LENGTH if is_train else 0
    return DataLoader(
        WindowDataset(prepared.windows, rows, targets, crop),
        batch_size=settings.batch_size,
        shuffle=is_train,
        drop_last=is_train and len(rows) > settings.batch_size,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )


def crop_frames(crop_s: float) -> int:
    """A crop in frames of the spectrogram, rounded to what the pooling divides; 0 for none."""
    n_steps = round(crop_s * SAMPLE_RATE / (POOLED_FRAMES * HOP_LENGTH))
    return max(1, n_steps) * POOLED_FRAMES if crop_s > 0 else 0


def _trainer(out: Path, settings: EstimatorSettings) -> tuple[L.Trainer, ModelCheckpoint]:
    best = ModelCheckpoint(
        out, "best", monitor="val_loss", save_last=True, enable_version_counter=False
    )
    trainer = L.Trainer(
        max_epochs=settings.max_epochs,
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy="ddp" if settings.devices > 1 else "auto",
        precision=settings.precision,  # type: ignore[arg-type]
        callbacks=[
            best,
            EarlyStopping("val_loss", patience=settings.patience),
            LearningRateMonitor("epoch"),
        ],
        logger=[CSVLogger(out, "logs"), TensorBoardLogger(out, "tensorboard")],
        enable_model_summary=False,
        log_every_n_steps=50,
        default_root_dir=out,
    )
    return trainer, best


def load_network(run: Path) -> tuple[CFEstimator, EstimatorSettings]:
    """The best network of a run in evaluation mode, and the settings it was trained with."""
    try:
        settings = EstimatorSettings(**json.loads((run / "settings.json").read_text()))
        module = EstimatorModule.load_from_checkpoint(run / "best.ckpt", map_location="cpu")
    except FileNotFoundError as error:
        raise MissingInput(run, "tasteprint-train estimator") from error
    return module.network.eval(), settings
