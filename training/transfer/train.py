"""Knowledge transfer: a small labelled task learnt by `base`, `fix`, `init` or `kd`.

Source: Lee et al. 2020, section 3.2. `base` trains a task model from scratch; `fix` takes the CF
estimator as it is and trains the output layer alone; `init` starts from the estimator's weights;
`kd` is `base` with one loss more, between the model's 40-d layer and the estimator's embedding of
the same clip. The checkpoint with the least task loss on the validation part is kept.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.cf.settings import AlsSettings
from training.datasets.prepared import TaskData
from training.errors import BadTransfer
from training.fitting.dataset import make_loader
from training.fitting.settings import FitSettings
from training.fitting.trainer import AudioModule, fit, load_best, seed_and_silence
from training.networks.base import Encoder
from training.networks.cf_estimator import CFEstimator
from training.networks.losses import cosine_proximity
from training.networks.task_model import TaskModel, TaskOutput

Method = Literal["base", "fix", "init", "kd"]
METHODS: tuple[Method, ...] = get_args(Method)
TeacherScale = Literal["as-is", "standard"]
# The output layer alone is a convex problem: all clips in each step, so that it is there quickly.
LAYER_LEARNING_RATE, LAYER_EPOCHS, LAYER_PATIENCE = 1e-2, 5000, 200


@dataclass(frozen=True)
class TransferSettings(FitSettings):
    """One run of one method.

    The loss is task + `mse_weight` · MSE + `cosine_weight` · cosine proximity, the last two for
    `kd` alone; the paper adds them plainly. With `teacher_scale` "standard", the teacher's
    embeddings are standardised over the training part: each dimension has mean 0 and variance 1.
    """

    method: Method = "kd"
    width: int = 32
    fold: int = 0
    mse_weight: float = 1.0
    cosine_weight: float = 1.0
    teacher_scale: TeacherScale = "as-is"


def used_settings(settings: TransferSettings) -> dict[str, str | int | float | bool]:
    """What a method makes use of, for results and cards; `fix` has a fit of its own."""
    used = asdict(settings)
    if settings.method != "kd":
        for name in ("mse_weight", "cosine_weight", "teacher_scale"):
            del used[name]
    if settings.method != "fix":
        return used
    kept = ("method", "width", "fold", "seed", "crop_s")
    return {name: used[name] for name in kept} | {
        "learning_rate": LAYER_LEARNING_RATE,
        "max_epochs": LAYER_EPOCHS,
        "patience": LAYER_PATIENCE,
    }


def task_loss(model: TaskModel, outputs: Tensor, answer: Tensor) -> Tensor:
    """Cross-entropy for classes; for targets the squared error in standard deviations.

    Parameters
    ----------
    outputs : float, shape (batch, n_outputs)
    answer : int64, shape (batch,), or float, shape (batch, n_outputs)
    """
    if answer.dtype == torch.int64:
        return functional.cross_entropy(outputs, answer)
    return ((outputs - answer) / model.scale).square().mean()


def distillation_loss(
    student: Tensor, teacher: Tensor, mse_weight: float = 1.0, cosine_weight: float = 1.0
) -> Tensor:
    """Of the student's 40-d layer and the teacher's embedding, both shape (batch, 40).

    The teacher's gets no gradient. Source: Lee et al. 2020, section 3.2.2.
    """
    taught = teacher.detach()
    return mse_weight * functional.mse_loss(student, taught) + cosine_weight * cosine_proximity(
        student, taught
    )


class TransferModule(AudioModule):
    """A task model in training; batches are windows, answers, and with `kd` the teacher's word."""

    def __init__(self, model: TaskModel, settings: TransferSettings) -> None:
        super().__init__(model, settings.learning_rate, settings.cosine_schedule)
        self.settings = settings

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        window, answer, *taught = batch
        heard: TaskOutput = self(window)
        loss = self._task_loss(heard.outputs, answer)
        if taught:
            weights = self.settings.mse_weight, self.settings.cosine_weight
            distilled = distillation_loss(heard.embedding, taught[0], *weights)
            self.log(
                "distillation", distilled, on_step=False, on_epoch=True, batch_size=len(answer)
            )
            loss = loss + distilled
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(answer))
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        window, answer, *_ = batch
        loss = self._task_loss(self(window).outputs, answer)
        self.log("val_loss", loss, prog_bar=True, batch_size=len(answer), sync_dist=True)

    def _task_loss(self, outputs: Tensor, answer: Tensor) -> Tensor:
        assert isinstance(self.network, TaskModel)
        return task_loss(self.network, outputs, answer)


def make_student(settings: TransferSettings, n_outputs: int, teacher: Encoder | None) -> TaskModel:
    """The task model at the start of training.

    `base` and `kd` begin at random, whatever the teacher is; `init` and `fix` with a copy of it.

    Raises
    ------
    BadTransfer
        Where the method needs a teacher, or one of this width, and there is none.
    """
    if settings.method in ("init", "fix"):
        if teacher is None or teacher.width != settings.width:
            raise BadTransfer(settings.method, settings.width, teacher.width if teacher else None)
        # A loaded teacher is in evaluation mode, and Lightning leaves modules as they are.
        return TaskModel(copy.deepcopy(teacher), n_outputs).train()
    student = CFEstimator.build(
        width=settings.width, embedding_dim=AlsSettings.factors, crop_s=settings.crop_s
    )
    return TaskModel(student, n_outputs)


def train(
    data: TaskData,
    out: Path,
    settings: TransferSettings,
    *,
    teacher: Encoder | None = None,
    taught: NDArray[np.float32] | None = None,
    parts: NDArray[np.str_] | None = None,
    teacher_digest: str = "",
    resume: bool = True,
    show_progress: bool = True,
) -> TaskModel:
    """A trained task model in evaluation mode: the best of the run in `out`.

    Parameters
    ----------
    teacher : the CF estimator, for `init` and `fix`
    taught : its embeddings of every track, shape (n_tracks, 40), for `kd` and `fix`
    parts : of each track; default: those of the fold
    teacher_digest : of its bundle; a run is not gone on with another teacher

    Raises
    ------
    BadTransfer, OtherRun
    """
    seed_and_silence(settings)
    parts = data.parts(settings.fold) if parts is None else parts
    model = make_student(settings, len(data.facts.labels), teacher)
    if data.facts.kind == "regression":
        _set_unit(model, data.targets[parts == "train"])
    if settings.method in ("kd", "fix") and taught is None:
        raise BadTransfer(settings.method, settings.width, None)
    if settings.method == "fix":
        assert taught is not None
        _train_output_layer(model, data, taught, parts)
        return model.eval()
    module = TransferModule(model, settings)
    targets = [data.targets]
    if settings.method == "kd":
        assert taught is not None
        targets.append(teachers_word(taught, parts == "train", settings.teacher_scale))
    training, validation = (
        make_loader(
            data.prepared.windows,
            data.rows[parts == part],
            *(target[parts == part] for target in targets),
            settings=settings,
            crop_samples=model.encoder.crop_samples(settings.crop_s),
            training=part == "train",
        )
        for part in ("train", "validation")
    )
    fit(
        module,
        training,
        validation,
        out,
        settings,
        extra_identity={"teacher.txt": teacher_digest},
        resume=resume,
        show_progress=show_progress,
    )
    load_best(module, out)
    return model.eval()


def teachers_word(
    taught: NDArray[np.float32], training: NDArray[np.bool_], scale: TeacherScale
) -> NDArray[np.float32]:
    """What the student is to say, shape (n_tracks, 40); see `TransferSettings.teacher_scale`."""
    if scale == "as-is":
        return taught
    spread = np.maximum(taught[training].std(0), 1e-6)
    standard: NDArray[np.float32] = (taught - taught[training].mean(0)) / spread
    return standard


def _set_unit(model: TaskModel, targets: NDArray[np.float32]) -> None:
    """Outputs of a fresh output layer then have the targets' mean and spread."""
    model.scale.copy_(torch.from_numpy(np.maximum(targets.std(0), 1e-6)))
    model.shift.copy_(torch.from_numpy(targets.mean(0)))


def _train_output_layer(
    model: TaskModel,
    data: TaskData,
    taught: NDArray[np.float32],
    parts: NDArray[np.str_],
) -> None:
    """Fit `model.output_layer` alone, on embeddings computed once; the encoder is not even run."""
    embedding, answer = torch.from_numpy(taught), torch.as_tensor(data.targets)
    train, validation = (torch.from_numpy(parts == part) for part in ("train", "validation"))
    layer = model.output_layer
    optimizer = torch.optim.Adam(layer.parameters(), lr=LAYER_LEARNING_RATE)
    best, best_loss, best_epoch = copy.deepcopy(layer.state_dict()), float("inf"), 0
    for epoch in range(LAYER_EPOCHS):
        optimizer.zero_grad()
        loss = task_loss(model, model.output(embedding[train]), answer[train])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            judged = model.output(embedding[validation])
            val_loss = float(task_loss(model, judged, answer[validation]))
        if val_loss < best_loss:
            best, best_loss, best_epoch = (
                copy.deepcopy(layer.state_dict()),
                val_loss,
                epoch,
            )
        if epoch - best_epoch >= LAYER_PATIENCE:
            break
    layer.load_state_dict(best)
