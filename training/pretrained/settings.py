"""Options of reading published weights; imports nothing heavy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from typing_extensions import Doc

from models.card import MAX_PATCHES


@dataclass(frozen=True)
class MusicnnSettings:
    """Which of MusiCNN's weights, and the patches of a window that the network is run on."""

    weights: Annotated[
        Literal["msd", "mtt"], Doc("Trained on the Million Song Dataset or on MagnaTagATune.")
    ] = "msd"
    patches: Annotated[
        int,
        Doc("Number of patches, in the centres of equal parts of a 30 s window."),
        Ge(1),
        Le(MAX_PATCHES),
    ] = 3
    patch_s: Annotated[float, Doc("Length of a patch in seconds; 3 in training.")] = 3.0

    def to_record(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ArtistSiameseSettings:
    """The patches of a window that the published Siamese CNN is run on."""

    patches: Annotated[
        int,
        Doc("Number of patches, in the centres of equal parts of a 30 s window; 10 in the paper."),
        Ge(1),
        Le(MAX_PATCHES),
    ] = 10
    patch_s: Annotated[float, Doc("Length of a patch in seconds; 3 in training.")] = 3.0

    def to_record(self) -> dict[str, Any]:
        return asdict(self)
