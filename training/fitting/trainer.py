"""What every training run on windows shares: data, optimiser, checkpoints, and how it goes on."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn

from models.malloc import keep_freed_memory
from training.audio.windows import FULL_SCALE
from training.errors import OtherRun
from training.fitting.dataset import Loader, WindowDataset
from training.fitting.settings import FitSettings
from training.networks.mel import MelSpectrogram

IDENTITY, SETTINGS = "identity.json", "settings.json"
BEST, LAST = "best.ckpt", "last.ckpt"
# What a run may be gone on with; a cosine schedule fixes its number of epochs too.
FREE_TO_CHANGE = {"max_epochs", "patience", "accelerator", "devices", "workers"}


class AudioModule(L.LightningModule):
    """A network behind its spectrogram, on the training device, with Adam."""

    def __init__(self, network: nn.Module, learning_rate: float, cosine_schedule: bool) -> None:
        super().__init__()
        self.mel = MelSpectrogram()
        # Channels last: a third less time on a CPU, and tensor cores on a GPU.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learning_rate, self.cosine_schedule = learning_rate, cosine_schedule

    def forward(self, window: Tensor) -> Any:
        """int16 (B, n) -> the network's outputs in float32.

        The spectrogram stays float32 under mixed precision.
        """
        with torch.autocast(window.device.type, enabled=False):
            spectrogram = self.mel(window.float() / FULL_SCALE)
        outputs = self.network(spectrogram.contiguous(memory_format=torch.channels_last))
        return type(outputs)(*(output.float() for output in outputs))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        if not self.cosine_schedule:
            return optimizer
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def begin(settings: FitSettings) -> None:
    """Seeds, and Lightning without its hints and advertisements; its errors stay."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    keep_freed_memory(max_block_bytes=None, max_free_bytes=None)
    L.seed_everything(settings.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")


def fit(
    module: AudioModule,
    training: Loader,
    validation: Loader,
    out: Path,
    settings: FitSettings,
    *,
    beside: Mapping[str, str] | None = None,
    resume: bool = True,
    show_progress: bool = True,
) -> Path:
    """Fit, keeping the checkpoint with the least `val_loss`; returns its path.

    `out` receives the settings, `last.ckpt`, `best.ckpt`, CSV and TensorBoard logs. A run that was
    stopped goes on from `last.ckpt`.

    Parameters
    ----------
    beside : file name → text: what else the run depends on, kept in `out`

    Raises
    ------
    OtherRun
        Where `out` holds a run with other settings or data.
    """
    resume = resume and (out / LAST).exists()
    _claim(out, settings, [training, validation], beside or {}, resume)
    trainer = _trainer(out, settings, show_progress)
    trainer.fit(module, training, validation, ckpt_path=out / LAST if resume else None)
    return out / BEST


def load_best(module: AudioModule, out: Path) -> None:
    """The weights of the best checkpoint, into a module of the same shape."""
    state = torch.load(out / BEST, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(state)


def _claim(
    out: Path,
    settings: FitSettings,
    loaders: list[Loader],
    beside: Mapping[str, str],
    resume: bool,
) -> None:
    """Note what this run is; a run of other data or settings is not gone on with."""
    free = FREE_TO_CHANGE - ({"max_epochs"} if settings.cosine_schedule else set())
    fixed = {name: value for name, value in asdict(settings).items() if name not in free}
    digest = hashlib.sha256("".join(beside.values()).encode())
    for each in loaders:
        dataset = each.dataset
        assert isinstance(dataset, WindowDataset)
        digest.update(dataset.rows.tobytes())
        for target in dataset.targets:
            digest.update(target.tobytes())
    identity = json.dumps(fixed | {"inputs_sha256": digest.hexdigest()}, indent=2) + "\n"
    known = (out / IDENTITY).read_text() if (out / IDENTITY).exists() else ""
    if resume and known != identity:
        raise OtherRun(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / IDENTITY).write_text(identity)
    for name, text in beside.items():
        (out / name).write_text(text)
    (out / SETTINGS).write_text(json.dumps(asdict(settings), indent=2) + "\n")


def _trainer(out: Path, settings: FitSettings, show_progress: bool) -> L.Trainer:
    best = ModelCheckpoint(
        out, "best", monitor="val_loss", save_last=True, enable_version_counter=False
    )
    return L.Trainer(
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
        enable_progress_bar=show_progress,
        log_every_n_steps=50,
        default_root_dir=out,
    )
