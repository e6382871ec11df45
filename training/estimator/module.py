"""Lightning module of an encoder that regresses item factors and, with a teacher, its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.audio.crop_limit import check_crop_length
from training.cf.settings import AlsSettings
from training.errors import NoSpectrogram
from training.fitting.augmentation import apply_gain, draw_partners, draw_shares, mask_axis, mix
from training.fitting.fine_tuning import HEAD, freeze, set_modes
from training.fitting.settings import Trainable
from training.fitting.trainer import AudioModule
from training.networks.base import Encoded, Encoder
from training.networks.losses import embedding_loss
from training.networks.registry import DEFAULT_ENCODER, encoder_class

VALIDATION_LOSS, VALIDATION_COSINE = "val_loss", "val_cosine"


class EstimatorModule(AudioModule):
    """Lightning module of an encoder that regresses item factors.

    With a teacher, a linear layer on the features learns the teacher's output of the same clip; the
    layer is no part of the network. In a training batch a target that is NaN counts in no loss.

    Batches: windows and targets; in training then the teacher's targets if there is a teacher, in
    validation the index of each clip's set if there are several. The validation loss is on factors
    alone, and the mean over the sets' losses, so that a large set does not decide alone.

    Checkpoints store the arguments as hyperparameters, but for `set_names`. Checkpoints of older
    versions lack some; the defaults are their values.

    Parameters
    ----------
    patches, patch_s : see `training.networks.base.Encoder.patched_audio`
    trainable : parts of the network that train; the others are frozen
    init_lr_scale : learning rate of all but the new layers, relative to theirs
    spec_augment, gain_db, mix : augmentation of training batches; 0 for none
    teacher_dim : size of the teacher's output; 0 without a teacher
    set_names : of the validation clips' sets; one name if there is one set
    network : what is trained, in place of a new network of these sizes
    frozen_norms : train in evaluation mode: batch norms keep their statistics, no dropout

    Raises
    ------
    UnknownEncoder, BadCrop, BadPatches
    """

    def __init__(
        self,
        width: int,
        crop_s: float,
        learning_rate: float,
        cosine_schedule: bool,
        encoder: str = DEFAULT_ENCODER,
        embedding_dim: int = AlsSettings.factors,
        patches: int = 0,
        patch_s: float = 0.0,
        teacher_dim: int = 0,
        teacher_weight: float = 1.0,
        trainable: Trainable = "all",
        init_lr_scale: float = 1.0,
        spec_augment: int = 0,
        gain_db: float = 0.0,
        mix: float = 0.0,
        set_names: Sequence[str] = ("",),
        network: Encoder | None = None,
        frozen_norms: bool = False,
    ) -> None:
        kind = encoder_class(encoder)
        if network is None:
            audio = kind.patched_audio(patches, patch_s)
            check_crop_length(crop_s, audio)
            network = kind.build(width=width, embedding_dim=embedding_dim, crop_s=crop_s)
            network.audio = audio
        super().__init__(network, learning_rate, cosine_schedule)
        self.save_hyperparameters(ignore=["set_names", "network"])
        self.teacher_weight = teacher_weight
        self.teacher_layer = nn.Linear(network.features_dim, teacher_dim) if teacher_dim else None
        self.trainable: Trainable = trainable
        self.frozen_norms = frozen_norms
        self.init_lr_scale = init_lr_scale
        freeze(network, trainable)
        if spec_augment and kind.spectrogram_axes is None:
            raise NoSpectrogram(encoder)
        self.spectrogram_axes, self.spec_augment = kind.spectrogram_axes, spec_augment
        self.gain_db, self.mix = gain_db, mix
        self.set_names = tuple(set_names)
        self.validation_sums = torch.zeros(len(self.set_names), 3)

    def parameter_groups(self) -> Any:
        if self.init_lr_scale == 1:
            return super().parameter_groups()
        is_new = {
            name: not name.startswith("network.") or name.startswith(f"network.{HEAD}.")
            for name, _ in self.named_parameters()
        }
        named = dict(self.named_parameters())
        return [
            {"params": [named[name] for name in named if is_new[name]]},
            {
                "params": [named[name] for name in named if not is_new[name]],
                "lr": self.init_lr_scale * self.learning_rate,
            },
        ]

    def on_train_start(self) -> None:
        # Not at the start of an epoch, which a run that is resumed within one does not have.
        # Lightning restores the mode of each part after a validation.
        assert isinstance(self.network, Encoder)
        set_modes(self.network, self.trainable)
        if self.frozen_norms:
            self.network.eval()

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        window, target, *teacher_targets = self._mix(batch) if self.mix else batch
        encoded: Encoded = self(window)
        loss = known_loss(encoded.embedding, target)
        if self.teacher_layer is not None:
            taught = known_loss(self.teacher_layer(encoded.features), teacher_targets[0])
            self._log_epoch("teacher_loss", taught, len(target))
            loss = loss + self.teacher_weight * taught
        self._log_epoch("train_loss", loss, len(target))
        return loss

    def _mix(self, batch: list[Tensor]) -> list[Tensor]:
        """Mix clips and their targets, those with a factor and those without among themselves."""
        partners = draw_partners(batch[1].isnan().any(1))
        shares = draw_shares(self.mix, len(partners), partners.device)
        return [mix(values, partners, shares) for values in batch]

    def augment_waveform(self, waveform: Tensor) -> Tensor:
        if not (self.training and self.gain_db):
            return waveform
        return apply_gain(waveform, self.gain_db)

    def augment_inputs(self, inputs: Tensor) -> Tensor:
        if self.training and self.spec_augment and self.spectrogram_axes:
            for axis in self.spectrogram_axes:
                inputs = mask_axis(inputs, axis, self.spec_augment)
        return inputs

    def _log_epoch(self, name: str, loss: Tensor, batch_size: int) -> None:
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=batch_size, sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        self.validation_sums = torch.zeros(len(self.set_names), 3, device=self.device)

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        window, target, *sets = batch
        predicted = self(window).embedding
        errors = (predicted - target).square().mean(1)
        cosines = functional.cosine_similarity(predicted, target, dim=1)
        clips = torch.stack([torch.ones_like(errors), errors, cosines], 1)  # -> (B, 3)
        set_index = sets[0] if sets else torch.zeros_like(errors, dtype=torch.int64)
        self.validation_sums.index_add_(0, set_index, clips)

    def on_validation_epoch_end(self) -> None:
        """Log loss and cosine of each set, and their means over the sets."""
        sums = self.trainer.strategy.reduce(self.validation_sums, reduce_op="sum")
        assert isinstance(sums, Tensor)
        # Lightning's sanity check hears some batches alone: a set without clips has the mean NaN.
        error, cosine = (sums[:, 1:] / sums[:, :1]).unbind(1)
        measures = {VALIDATION_LOSS: error - cosine, VALIDATION_COSINE: cosine}
        for name, values in measures.items():
            self.log(name, values.nanmean(), prog_bar=True)
            if len(self.set_names) > 1:
                for set_name, value in zip(self.set_names, values, strict=True):
                    self.log(f"{name}/{set_name}", value)


def known_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """`embedding_loss` over the rows whose target is known; 0 if there is none.

    Parameters
    ----------
    predicted, target : float, shape (batch, dim); unknown targets are NaN
    """
    is_known = ~target.isnan().any(1)
    if not is_known.any():
        return 0 * predicted.sum()  # not a constant: DDP expects a gradient for every weight
    return embedding_loss(predicted[is_known], target[is_known])
