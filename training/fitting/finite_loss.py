"""Guard against a loss that is no number: the run ends, with the checkpoints of before kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from training.errors import LossNotFinite

# On a GPU a look at the loss waits for the step, so it is taken now and then.
GPU_INTERVAL = 50


class FiniteLoss(Callback):
    """Ends the run at a loss of NaN or infinity, before a checkpoint of such weights is written."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        is_looked_at = module.device.type == "cpu" or trainer.global_step % GPU_INTERVAL == 0
        if isinstance(loss, Tensor) and is_looked_at:
            self._check("training", loss, trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.sanity_checking and "val_loss" in trainer.callback_metrics:
            self._check("validation", trainer.callback_metrics["val_loss"], trainer)

    def _check(self, part: str, loss: Tensor, trainer: L.Trainer) -> None:
        if not torch.isfinite(loss).all():
            raise LossNotFinite(part, float(loss.detach()), trainer.global_step, self.run)
