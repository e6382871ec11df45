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
    """One training run of an encoder: `FitSettings`, and the network and its targets."""

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
        """As of `FitSettings`; the default encoder is left out.

        Runs and cards from before there was a choice do not state it, and keep their identity.
        """
        record = super().to_record()
        if self.encoder == DEFAULT_ENCODER:
            del record["encoder"]
        return record
