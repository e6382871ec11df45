"""Hyperparameters of an encoder that learns artist, album or track; imports nothing heavy.

Source of the defaults: Lee, Park, Nam 2019, and the code of Park, Lee et al. 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from typing_extensions import Doc

from training.objectives.settings import SegmentSettings

Concept = Literal["artist", "album", "track", "joint"]
CONCEPTS = ("artist", "album", "track")


@dataclass(frozen=True)
class SimilaritySettings(SegmentSettings):
    """`SegmentSettings`, the concept that is learnt, its negatives and margins.

    The loss is a sum over negatives and the groups of a batch, so the best learning rate falls as
    the batch grows.
    """

    batch_size: Annotated[int, Doc("Groups per step and device."), Ge(1)] = 15
    learning_rate: Annotated[float, Doc("Initial learning rate."), Ge(0)] = 0.1
    max_epochs: Annotated[int, Doc("Maximum number of epochs; 0: no limit."), Ge(0)] = 1000
    encoder: Annotated[str, Doc("Network architecture, a name in the registry of encoders.")] = (
        "siamese"
    )
    width: Annotated[
        int, Doc("Channels; siamese: filters of the first layers, half of the features."), Ge(1)
    ] = 256
    kernel_l2: Annotated[
        float, Doc("Penalty on kernels, added to the loss: this times their sum of squares."), Ge(0)
    ] = 1e-5
    validation_draws: Annotated[
        int, Doc("Groups that a validation draws of each anchor, always the same ones."), Ge(1)
    ] = 4
    concept: Annotated[
        Concept, Doc("What a segment shares with its positive; joint: the sum of all three losses.")
    ] = "artist"
    negatives: Annotated[int, Doc("Negative segments of each anchor."), Ge(1)] = 4
    artist_margin: Annotated[float, Doc("Margin of the hinge loss on artists.")] = 0.4
    album_margin: Annotated[float, Doc("Margin of the hinge loss on albums.")] = 0.25
    track_margin: Annotated[float, Doc("Margin of the hinge loss on tracks.")] = 0.1
    max_artists: Annotated[
        int, Doc("Train on so many artists, drawn from all that train; 0: on all artists."), Ge(0)
    ] = 0

    @property
    def margins(self) -> dict[str, float]:
        """Concept → margin, of the concepts that are learnt."""
        margins = (self.artist_margin, self.album_margin, self.track_margin)
        of_concepts = dict(zip(CONCEPTS, margins, strict=True))
        if self.concept == "joint":
            return of_concepts
        return {self.concept: of_concepts[self.concept]}
