"""Hyperparameters of training an encoder on item factors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge
from typing_extensions import Doc

from training.fitting.settings import FitSettings, Trainable
from training.networks.registry import DEFAULT_ENCODER

TargetScale = Literal["unit", "raw"]
# Fields that records and cards state if they are not at their default: runs and cards from before
# the fields existed do not state them, and keep their identity.
ADDED = frozenset(
    {
        "encoder",
        "patches",
        "patch_s",
        "balance",
        "epoch_clips",
        "teacher_output",
        "teacher_weight",
        "trainable",
        "init_lr_scale",
        "spec_augment",
        "gain_db",
        "mix",
    }
)


@dataclass(frozen=True)
class EstimatorSettings(FitSettings):
    """Hyperparameters of an encoder's training run: `FitSettings`, network, targets and sampling.

    With `patches`, the network hears patches of a window. Where the windows are prepared whole, it
    trains on crops from anywhere in them, and validates on the patches.
    """

    width: Annotated[
        int, Doc("Channels of every convolution; cf-estimator: 32, 64, 128 or 256.")
    ] = 32
    targets: Annotated[
        TargetScale, Doc("Item factors scaled to unit length, or as the factorisation gives them.")
    ] = "unit"
    encoder: Annotated[str, Doc("Network architecture, a name in the registry of encoders.")] = (
        DEFAULT_ENCODER
    )
    patches: Annotated[
        int,
        Doc(
            "Number of patches of a window that the network hears, in the centres of equal parts; "
            "0: its default input."
        ),
        Ge(0),
    ] = 0
    patch_s: Annotated[
        float, Doc("Length of a patch in seconds; 0: of the encoder's default."), Ge(0)
    ] = 0.0
    balance: Annotated[
        bool,
        Doc(
            "Draw clips so that each prepared set is heard equally often, and within a set a clip "
            "with the weight 1/√n, n the clips of its artist."
        ),
    ] = False
    epoch_clips: Annotated[
        int, Doc("Clips drawn in an epoch, with replacement; 0: as many as there are."), Ge(0)
    ] = 0

    teacher_output: Annotated[
        str, Doc("Output of the teacher that a layer on the features learns; training only.")
    ] = "features"
    teacher_weight: Annotated[
        float, Doc("Weight of the loss on the teacher's output; 1: as the loss on factors."), Ge(0)
    ] = 1.0
    trainable: Annotated[
        Trainable,
        Doc("With --init: train the embedding layer alone, the last blocks too, or everything."),
    ] = "all"
    init_lr_scale: Annotated[
        float, Doc("Learning rate of the initial weights, relative to that of new layers."), Ge(0)
    ] = 0.1
    spec_augment: Annotated[
        int,
        Doc("Masks on each training spectrogram, as many bands of frequency as stretches of time."),
        Ge(0),
    ] = 0
    gain_db: Annotated[
        float,
        Doc("Random gain of training clips up to ± so many dB; cf-estimator hears no gain."),
        Ge(0),
    ] = 0.0
    mix: Annotated[
        float,
        Doc("Mix each training clip and its targets with another's, by Beta(mix, mix); 0: none."),
        Ge(0),
    ] = 0.0

    def to_record(self) -> dict[str, Any]:
        """As in `FitSettings`, but without `ADDED` fields at their defaults."""
        record = super().to_record()
        for field in fields(self):
            if field.name in ADDED and record.get(field.name) == field.default:
                del record[field.name]
        return record
