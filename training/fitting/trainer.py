"""Training loop: Lightning module, optimiser, checkpoints and resuming."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor

from models.malloc import keep_freed_memory
from training.audio.decoding import FULL_SCALE
from training.errors import NoScheduleLength, OtherRun
from training.fitting.dataset import AudioDataset, Loader
from training.fitting.environment import write_environment
from training.fitting.finite_loss import FiniteLoss
from training.fitting.sampling import NumberedSampler
from training.fitting.settings import SETTINGS, FitSettings
from training.networks.base import Encoder
from training.networks.task_model import TaskModel, encoder_of, forward_patches

IDENTITY = "identity.json"
BEST, LAST = "best.ckpt", "last.ckpt"
# Settings that may differ when a run is resumed; a cosine schedule fixes its length too.
LENGTH = {"max_epochs", "max_steps"}
FREE_TO_CHANGE = {*LENGTH, "patience", "accelerator", "devices", "workers"}


class AudioModule(L.LightningModule):
    """Lightning module: front end and network on the training device, by default with Adam."""

    def __init__(
        self, network: Encoder | TaskModel, learning_rate: float, cosine_schedule: bool
    ) -> None:
        super().__init__()
        encoder = encoder_of(network)
        self.front_end_name, self.audio = encoder.front_end_name, encoder.audio
        self.add_module(self.front_end_name, encoder.make_front_end())
        # Channels last: a third less time on a CPU, and tensor cores on a GPU.
        self.memory_format = encoder.memory_format
        self.network = network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.learning_rate, self.cosine_schedule = learning_rate, cosine_schedule

    def forward(self, window: Tensor) -> Any:
        """int16 (B, n) -> the network's outputs in float32.

        Of a whole input they are those of all its patches together, as
        `training.networks.waveform.encode_patches` computes them; a crop is of one patch. The front
        end stays float32 under mixed precision.
        """
        is_whole = window.shape[1] == self.audio.input_samples
        n_patches = len(self.audio.patch_starts) if is_whole else 1
        window = window.reshape(len(window) * n_patches, -1)  # (B, P · S) -> (B · P, S)
        with torch.autocast(window.device.type, enabled=False):
            waveform = self.augment_waveform(window.float() / FULL_SCALE)
            inputs = self.get_submodule(self.front_end_name)(waveform)
            inputs = self.augment_inputs(inputs)
        if inputs.ndim == 4:  # images; waveforms have no such format
            inputs = inputs.contiguous(memory_format=self.memory_format)
        outputs = forward_patches(self.network, inputs, n_patches)  # (B · P, …) -> (B, D)
        return type(outputs)(*(output.float() for output in outputs))

    def augment_waveform(self, waveform: Tensor) -> Tensor:
        """What the front end hears of a batch, (B, n) in [-1, 1]; here all that there is."""
        return waveform

    def augment_inputs(self, inputs: Tensor) -> Tensor:
        """What the network hears of the front end's output; here all that there is."""
        return inputs

    def parameter_groups(self) -> Any:
        """What the optimiser trains; groups may have learning rates of their own."""
        return self.parameters()

    def make_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameter_groups(), lr=self.learning_rate)

    def make_schedule(
        self, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler | None:
        """The learning rate by steps; None for a constant one."""
        if not self.cosine_schedule:
            return None
        n_steps = int(self.trainer.estimated_stepping_batches)
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer()
        schedule = self.make_schedule(optimizer)
        if schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def seed_and_silence(settings: FitSettings) -> None:
    """Seed every generator, and silence Lightning's hints; errors are still shown."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    keep_freed_memory(max_block_bytes=None, max_free_bytes=None)
    L.seed_everything(settings.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")


def fit(
    module: L.LightningModule,
    training: Loader,
    validation: Loader,
    out: Path,
    settings: FitSettings,
    *,
    extra_identity: Mapping[str, str] | None = None,
    records: Mapping[str, str] | None = None,
    resume: bool = True,
    show_progress: bool = True,
    callbacks: Sequence[L.Callback] = (),
) -> Path:
    """Fit, keeping the checkpoint with the lowest `val_loss`; returns its path.

    `out` receives the settings, the environment, `last.ckpt`, `best.ckpt`, CSV and TensorBoard
    logs. A run that was interrupted is resumed from `last.ckpt`, which is of the last validation.

    Parameters
    ----------
    extra_identity : file name → text: further inputs that the run depends on, written into `out`
    records : file name → text: written into `out` too, and not compared when a run is resumed
    callbacks : of Lightning, beside those of every run

    Raises
    ------
    OtherRun
        If `out` holds a run with other settings or data.
    NoScheduleLength
        If a cosine schedule has neither a maximum of steps nor of epochs.
    LossNotFinite
    """
    if settings.cosine_schedule and not (settings.max_steps or settings.max_epochs):
        raise NoScheduleLength
    resume = resume and (out / LAST).exists()
    _check_run_identity(out, settings, [training, validation], extra_identity or {}, resume)
    for name, text in (records or {}).items():
        (out / name).write_text(text)
    write_environment(out)
    if resume:
        _set_epoch(training, out / LAST, settings.devices)
    trainer = _make_trainer(out, settings, len(training), show_progress, callbacks)
    trainer.fit(module, training, validation, ckpt_path=out / LAST if resume else None)
    return out / BEST


def _set_epoch(training: Loader, checkpoint: Path, devices: int) -> None:
    """Give the sampler the epoch that is resumed, and the batches that it has had of that epoch.

    Lightning sets the epoch too, but after the loader's processes have asked for the first batches.
    Batches within an epoch it counts alone. Several devices have samplers of Lightning's, which
    begin the epoch again.
    """
    set_epoch = getattr(training.sampler, "set_epoch", None)
    if set_epoch is None:
        return
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    loop = state["loops"]["fit_loop"]
    epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]
    # What is saved at the end of an epoch does not count the epoch as processed yet.
    is_over = batches["is_last_batch"]
    set_epoch(epochs["started"] if is_over else epochs["processed"])
    if not is_over and devices == 1 and isinstance(training.sampler, NumberedSampler):
        assert training.batch_size is not None
        training.sampler.skip(batches["current"]["processed"] * training.batch_size)


def load_best(module: L.LightningModule, out: Path) -> None:
    """Load the weights of the best checkpoint into a module of the same shape."""
    load_weights(module, out / BEST)


def load_weights(module: L.LightningModule, checkpoint: Path) -> None:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(state)


def _check_run_identity(
    out: Path,
    settings: FitSettings,
    loaders: list[Loader],
    extra_identity: Mapping[str, str],
    resume: bool,
) -> None:
    """Record settings and a digest of the inputs; refuse to resume a run with other ones."""
    free = FREE_TO_CHANGE - (LENGTH if settings.cosine_schedule else set())
    fixed = {name: value for name, value in settings.to_record().items() if name not in free}
    digest = hashlib.sha256("".join(extra_identity.values()).encode())
    for loader in loaders:
        assert isinstance(loader.dataset, AudioDataset)
        for array in loader.dataset.identity:
            digest.update(array.tobytes())
    identity = json.dumps(fixed | {"inputs_sha256": digest.hexdigest()}, indent=2) + "\n"
    known = (out / IDENTITY).read_text() if (out / IDENTITY).exists() else ""
    if resume and known != identity:
        raise OtherRun(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / IDENTITY).write_text(identity)
    for name, text in extra_identity.items():
        (out / name).write_text(text)
    (out / SETTINGS).write_text(json.dumps(settings.to_record(), indent=2) + "\n")


def _make_trainer(
    out: Path,
    settings: FitSettings,
    epoch_steps: int,
    show_progress: bool,
    callbacks: Sequence[L.Callback],
) -> L.Trainer:
    best = ModelCheckpoint(out, "best", monitor="val_loss", enable_version_counter=False)
    # Not `save_last`, which is of the last validation with a lower loss.
    last = ModelCheckpoint(out, "last", enable_version_counter=False)
    return L.Trainer(
        max_epochs=settings.max_epochs or -1,
        max_steps=settings.max_steps or -1,
        val_check_interval=_validation_interval(settings, epoch_steps),
        check_val_every_n_epoch=None,  # the interval is counted over all epochs
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy="ddp" if settings.devices > 1 else "auto",
        precision=settings.precision,
        callbacks=[
            FiniteLoss(out),  # before the checkpoints
            best,
            last,
            EarlyStopping("val_loss", patience=settings.patience),
            LearningRateMonitor("epoch"),
            *callbacks,
        ],
        logger=[CSVLogger(out, "logs"), TensorBoardLogger(out, "tensorboard")],
        enable_model_summary=False,
        enable_progress_bar=show_progress,
        log_every_n_steps=50,
        default_root_dir=out,
    )


def _validation_interval(settings: FitSettings, epoch_steps: int) -> int:
    """Steps from one validation to the next; at most the run's steps, so that there is one."""
    epoch_steps = math.ceil(epoch_steps / settings.devices)
    limits = settings.max_steps, settings.max_epochs * epoch_steps
    return min(settings.validation_steps or epoch_steps, *(limit for limit in limits if limit))
