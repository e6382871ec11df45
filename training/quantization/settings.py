"""Options of converting a bundle's graph to int8 or float16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from typing_extensions import Doc


@dataclass(frozen=True)
class QuantizeSettings:
    """Options of quantization, calibration and the agreement measurement."""

    precision: Annotated[Literal["int8", "float16"], Doc("int8 for CPUs, float16 for GPUs.")] = (
        "int8"
    )
    calibration: Annotated[
        int, Doc("Number of windows to calibrate int8 on; float16 needs none."), Ge(1)
    ] = 32
    windows: Annotated[
        int, Doc("Maximum number of other windows to measure the agreement on."), Ge(1)
    ] = 400
    least: Annotated[
        float,
        Doc("Minimum agreement with float32; a convolution that lowers it below stays float32."),
    ] = 0.999
    seed: Annotated[int, Doc("Random seed of the order of the audio files.")] = 0
