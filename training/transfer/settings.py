"""Hyperparameters of transfer learning, and the names of its methods and baselines.

Imports nothing heavy: the command line and the report need the names alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge
from typing_extensions import Doc

from training.cf.settings import AlsSettings
from training.datasets.task import Kind
from training.fitting.settings import FitSettings
from training.networks.registry import DEFAULT_ENCODER

Start = Literal["random", "weights", "teacher"]
TeacherScale = Literal["as-is", "centred", "standard"]
BaselineInput = Literal["nothing", "mel statistics", "untrained", "embedding", "features"]
# Only this baseline depends on width and seed.
UNTRAINED = "linear on untrained features"
BASELINES: dict[str, BaselineInput] = {
    "majority or mean": "nothing",
    "linear on mel statistics": "mel statistics",
    "RBF SVM on mel statistics": "mel statistics",
    UNTRAINED: "untrained",
    "linear on embedding": "embedding",
    "linear on features": "features",
}
# What results are compared by, of each kind of task.
MEASURE: dict[Kind, str] = {
    "classification": "accuracy",
    "regression": "r2",
    "multilabel": "mean_average_precision",
}
# `fix` trains the output layer alone, a convex problem: full-batch steps converge quickly.
LAYER_LEARNING_RATE, LAYER_EPOCHS, LAYER_PATIENCE = 1e-2, 5000, 200


@dataclass(frozen=True)
class Recipe:
    """What a transfer method takes.

    Parameters
    ----------
    start : random weights; weights of a bundle; or the teacher's embeddings, whose output layer
        alone is trained
    distils : whether the teacher's embeddings are targets of the student's
    uses_pool : whether they are of unlabelled recordings too
    """

    start: Start = "random"
    distils: bool = False
    uses_pool: bool = False

    @property
    def uses_teacher(self) -> bool:
        return self.distils or self.start == "teacher"


RECIPES = {
    "base": Recipe(),
    "fix": Recipe("teacher"),
    "init": Recipe("weights"),
    "kd": Recipe(distils=True),
    "kd-pool": Recipe(distils=True, uses_pool=True),
    "init-kd": Recipe("weights", distils=True),
}
METHODS = tuple(RECIPES)


@dataclass(frozen=True)
class TransferSettings(FitSettings):
    """One run of one transfer method: `FitSettings`, method, fold, network and distillation loss.

    The loss is task + `mse_weight` · MSE + `cosine_weight` · cosine proximity, the last two for
    methods that distil; the paper adds them unweighted. Both are of targets that `teacher_scale`
    names: the teacher's embeddings standardised over the training part (each dimension has mean 0
    and variance 1), centred there (mean 0, one scale for all dimensions), or as they are, as in the
    paper.
    """

    max_epochs: Annotated[int, Doc("Maximum number of epochs; 0: no limit."), Ge(0)] = 0
    max_steps: Annotated[int, Doc("Maximum number of training steps; 0: no limit."), Ge(0)] = 2000
    validation_steps: Annotated[
        int, Doc("Training steps from one validation to the next; 0: validate every epoch."), Ge(0)
    ] = 50
    patience: Annotated[
        int, Doc("Validations without a lower validation loss before stopping."), Ge(1)
    ] = 6
    method: Annotated[str, Doc("Transfer method, of `RECIPES`.")] = "kd"
    width: Annotated[
        int, Doc("Channels of every convolution; cf-estimator: 32, 64, 128 or 256.")
    ] = 32
    fold: Annotated[int, Doc("The fold that is held out, from 0.")] = 0
    mse_weight: Annotated[
        float, Doc("Weight of the squared error to the teacher, in distillation.")
    ] = 1.0
    cosine_weight: Annotated[
        float, Doc("Weight of the cosine proximity to the teacher, in distillation.")
    ] = 1.0
    teacher_scale: Annotated[
        TeacherScale,
        Doc("Teacher embeddings standardised, centred, or as they are, as in the paper."),
    ] = "standard"
    encoder: Annotated[str, Doc("Network architecture, a name in the registry of encoders.")] = (
        DEFAULT_ENCODER
    )
    embedding_dim: Annotated[int, Doc("Dimension of the network's embedding.")] = (
        AlsSettings.factors
    )

    def to_record(self) -> dict[str, Any]:
        """As of `FitSettings`; the default encoder and its embedding size are left out.

        Runs and cards from before there was a choice do not state them, and keep their identity.
        """
        record = super().to_record()
        if self.encoder == DEFAULT_ENCODER:
            del record["encoder"]
        if self.embedding_dim == AlsSettings.factors:
            del record["embedding_dim"]
        return record


def used_settings(settings: TransferSettings) -> dict[str, str | int | float | bool]:
    """The settings that a method uses, for results and cards; `fix` has an optimiser of its own."""
    used = settings.to_record()
    recipe = RECIPES[settings.method]
    if not recipe.distils:
        for name in ("mse_weight", "cosine_weight", "teacher_scale"):
            del used[name]
    if recipe.start != "teacher":
        return used
    kept = ("method", "width", "fold", "seed", "crop_s", "encoder", "embedding_dim")
    return {name: used[name] for name in kept if name in used} | {
        "learning_rate": LAYER_LEARNING_RATE,
        "max_epochs": LAYER_EPOCHS,
        "patience": LAYER_PATIENCE,
    }
