"""Transfer learning of a small labelled task, by the methods of `RECIPES`.

Source: Lee et al. 2020, section 3.2, where the teacher is the CF estimator. `base` trains a task
model from scratch; `fix` freezes the teacher and trains the output layer alone; `init` fine-tunes
from a bundle's weights; `kd` (knowledge distillation) is `base` with a further loss between the
embeddings of student and teacher of the same clip. Not in the paper: `kd-pool`, where the teacher
is asked about unlabelled recordings too, and `init-kd`, which is `init` with the loss of `kd`. The
checkpoint with the lowest task loss on the validation part is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.datasets.prepared import TaskData
from training.errors import BadTransfer, OtherEmbedding, OtherEncoder
from training.fitting.dataset import Clips, make_loader
from training.fitting.run_pictures import draw_run
from training.fitting.settings import KIND
from training.fitting.trainer import AudioModule, fit, load_best, seed_and_silence
from training.networks.base import Encoder
from training.networks.registry import encoder_class, name_of
from training.networks.task_model import TaskModel, TaskOutput
from training.transfer.distillation import distillation_loss, fit_scaling
from training.transfer.settings import (
    LAYER_EPOCHS,
    LAYER_LEARNING_RATE,
    LAYER_PATIENCE,
    RECIPES,
    TransferSettings,
)

# File of a run folder: the part of each track.
SPLIT = "split.csv"


def task_loss(model: TaskModel, outputs: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy for classes; for values the squared error in standard deviations.

    Parameters
    ----------
    outputs : float, shape (batch, n_outputs)
    target : class indices, int64, shape (batch,), or values, float, shape (batch, n_outputs)
    """
    if target.dtype == torch.int64:
        return functional.cross_entropy(outputs, target)
    return ((outputs - target) / model.scale).square().mean()


class TransferModule(AudioModule):
    """Lightning module of a task model.

    Batches are windows and targets; for distillation teacher targets too, and with a pool its
    windows and teacher targets, as many as those of labelled clips.
    """

    def __init__(self, model: TaskModel, settings: TransferSettings) -> None:
        super().__init__(model, settings.learning_rate, settings.cosine_schedule)
        self.settings = settings

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        window, target, *distillation = batch
        # All clips in one pass: batch norms see in training what they will see in evaluation.
        predicted: TaskOutput = self(torch.cat([window, *distillation[1::2]]))
        loss = self._task_loss(predicted.outputs[: len(target)], target)
        if distillation:
            weights = self.settings.mse_weight, self.settings.cosine_weight
            teacher_targets = torch.cat(distillation[::2])
            distilled = distillation_loss(predicted.embedding, teacher_targets, *weights)
            self.log(
                "distillation", distilled, on_step=False, on_epoch=True, batch_size=len(target)
            )
            loss = loss + distilled
        self.log(
            "train_loss",
            loss,
            on_step=False,
            on_epoch=True,
            batch_size=len(target),
            sync_dist=True,
        )
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        window, target, *_ = batch
        loss = self._task_loss(self(window).outputs, target)
        self.log("val_loss", loss, prog_bar=True, batch_size=len(target), sync_dist=True)

    def _task_loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        assert isinstance(self.network, TaskModel)
        return task_loss(self.network, outputs, target)


def make_student(settings: TransferSettings, n_outputs: int, start: Encoder | None) -> TaskModel:
    """The task model before training.

    The encoder has random weights and the architecture of the settings, or is a copy of `start`,
    with a new last layer where its embedding has another size than that of the settings.

    Raises
    ------
    BadTransfer, OtherEncoder
        Where the method needs weights of this width and architecture, and there are none.
    """
    recipe = RECIPES[settings.method]
    if recipe.start == "random":
        return TaskModel(build_encoder(settings), n_outputs)
    if start is None:
        raise BadTransfer(settings.method, settings.width, None)
    check_start(settings, name_of(start), start.width)
    encoder = copy.deepcopy(start)
    if encoder.embedding_dim != settings.embedding_dim:
        encoder.replace_embedding(settings.embedding_dim)
    # A loaded encoder is in evaluation mode, and Lightning does not change the mode.
    return TaskModel(encoder, n_outputs).train()


def check_start(settings: TransferSettings, encoder: str, width: int) -> None:
    """Refuse weights of another width or architecture than the settings'.

    Raises
    ------
    BadTransfer, OtherEncoder
    """
    if encoder != settings.encoder:
        raise OtherEncoder(settings.method, settings.encoder, encoder)
    if width != settings.width:
        raise BadTransfer(settings.method, settings.width, width)


def build_encoder(settings: TransferSettings) -> Encoder:
    """An encoder with random weights.

    Raises
    ------
    UnknownEncoder, BadCrop
    """
    return encoder_class(settings.encoder).build(
        width=settings.width, embedding_dim=settings.embedding_dim, crop_s=settings.crop_s
    )


def check_distillation(student: Encoder, teacher_dim: int) -> None:
    """Refuse a student whose embedding has another size than the teacher's, `teacher_dim`.

    Raises
    ------
    OtherEmbedding
    """
    if student.embedding_dim != teacher_dim:
        raise OtherEmbedding(name_of(student), student.embedding_dim, teacher_dim)


def train(
    data: TaskData,
    out: Path,
    settings: TransferSettings,
    *,
    start: Encoder | None = None,
    teacher_embeddings: NDArray[np.float32] | None = None,
    pool: Sequence[Clips] = (),
    parts: NDArray[np.str_] | None = None,
    digests: str = "",
    resume: bool = True,
    pictures: bool = False,
    show_progress: bool = True,
) -> TaskModel:
    """Train a task model and return it in evaluation mode, with the best weights of the run.

    `out` receives the parts of the tracks, what `training.fitting.trainer.fit` writes, and, if
    asked, pictures of the losses and of the validation clips; nothing where the output layer alone
    is fitted.

    Parameters
    ----------
    start : the encoder that `init` and `init-kd` start from, and that `fix` leaves as it is
    teacher_embeddings : of every track, shape (n_tracks, embedding_dim); not for `base` and `init`
    pool : unlabelled recordings with the teacher's embeddings as targets, for `kd-pool`
    parts : part of each track; default: the parts of `settings.fold`
    digests : of the bundles of teacher and start; a run is not resumed with others

    Raises
    ------
    BadTransfer, OtherEncoder, OtherEmbedding, BadCrop, OtherRun
    """
    seed_and_silence(settings)
    parts = data.parts(settings.fold) if parts is None else parts
    recipe = RECIPES[settings.method]
    model = make_student(settings, len(data.facts.labels), start)
    if data.facts.kind == "regression":
        _set_scale(model, data.targets[parts == "train"])
    if recipe.uses_teacher and teacher_embeddings is None:
        raise BadTransfer(settings.method, settings.width, None)
    if recipe.start == "teacher":
        assert teacher_embeddings is not None
        _train_output_layer(model, data, teacher_embeddings, parts)
        return model.eval()
    model.encoder.audio = data.prepared.audio
    module = TransferModule(model, settings)
    targets = [data.targets]
    if recipe.distils:
        assert teacher_embeddings is not None
        check_distillation(model.encoder, teacher_embeddings.shape[1])
        heard = [teacher_embeddings[parts == "train"]]
        if pool:
            heard.append(np.concatenate([clips.targets for clips in pool]))
        scaling = fit_scaling(heard, settings.teacher_scale)
        targets.append(scaling(teacher_embeddings))
        pool = [clips._replace(targets=scaling(clips.targets)) for clips in pool]
    training, validation = (
        make_loader(
            data.prepared.windows,
            data.rows[parts == part],
            *(target[parts == part] for target in targets),
            settings=settings,
            crop_samples=model.encoder.crop_samples(settings.crop_s),
            patch_samples=data.prepared.audio.patch_samples,
            training=part == "train",
            pool=pool,
        )
        for part in ("train", "validation")
    )
    fit(
        module,
        training,
        validation,
        out,
        settings,
        extra_identity={"teacher.txt": digests},
        records={
            KIND: "transfer\n",
            SPLIT: data.prepared.tracks[["track_id"]].assign(part=parts).to_csv(index=False),
        },
        resume=resume,
        show_progress=show_progress,
    )
    load_best(module, out)
    if pictures:
        is_shown = parts == "validation"
        draw_run(
            module,
            data.prepared,
            data.prepared.tracks[is_shown],
            out,
            batch_size=settings.batch_size,
            targets=targets[1][is_shown] if recipe.distils else None,
        )
    return model.eval()


def _set_scale(model: TaskModel, targets: NDArray[np.float32]) -> None:
    """Give the outputs the targets' mean and standard deviation."""
    model.scale.copy_(torch.from_numpy(np.maximum(targets.std(0), 1e-6)))
    model.shift.copy_(torch.from_numpy(targets.mean(0)))


def _train_output_layer(
    model: TaskModel,
    data: TaskData,
    embeddings: NDArray[np.float32],
    parts: NDArray[np.str_],
) -> None:
    """Fit `model.output_layer` alone, on embeddings computed once; the encoder is not run."""
    embedding, target = torch.from_numpy(embeddings), torch.as_tensor(data.targets)
    train, validation = (torch.from_numpy(parts == part) for part in ("train", "validation"))
    layer = model.output_layer
    optimizer = torch.optim.Adam(layer.parameters(), lr=LAYER_LEARNING_RATE)
    best, best_loss, best_epoch = copy.deepcopy(layer.state_dict()), float("inf"), 0
    for epoch in range(LAYER_EPOCHS):
        optimizer.zero_grad()
        loss = task_loss(model, model.output(embedding[train]), target[train])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            predicted = model.output(embedding[validation])
            val_loss = float(task_loss(model, predicted, target[validation]))
        if val_loss < best_loss:
            best, best_loss, best_epoch = (
                copy.deepcopy(layer.state_dict()),
                val_loss,
                epoch,
            )
        if epoch - best_epoch >= LAYER_PATIENCE:
            break
    layer.load_state_dict(best)
