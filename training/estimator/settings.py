"""Hyperparameters of training an encoder on item factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from typing_extensions import Doc

from training.fitting.settings import FitSettings
from training.networks.registry import DEFAULT_ENCODER

TargetScale = Literal["unit", "raw"]


@dataclass(frozen=True)
class EstimatorSettings(FitSettings):
    """Hyperparameters of an encoder's training run: `FitSettings`, network and targets."""

    width: Annotated[
        int, Doc("Channels of every convolution; cf-estimator: 32, 64, 128 or 256.")
    ] = 32
    targets: Annotated[
        TargetScale, Doc("Item factors scaled to unit length, or as the factorisation gives them.")
    ] = "unit"
    encoder: Annotated[str, Doc("Network architecture, a name in the registry of encoders.")] = (
        DEFAULT_ENCODER
    )

    def to_record(self) -> dict[str, Any]:
        """As in `FitSettings`, but without the default encoder.

        Runs and cards from before the field existed do not state it, and keep their identity.
        """
        record = super().to_record()
        if self.encoder == DEFAULT_ENCODER:
            del record["encoder"]
        return record
