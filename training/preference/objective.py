"""Hinge loss of a user's vector against the vectors of a liked and a disliked clip."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from training.networks.base import Encoded
from training.objectives.module import Judged, Objective


class PreferenceHinge(Objective):
    """max(0, margin − R⁺ + R⁻), summed over the batch; R is the cosine of user and clip.

    Measures: `liked_first`, 1 where the liked clip has the larger cosine, by chance of one half.

    Source: Chen and Liang 2020, equations 1 and 2.
    """

    sums = True

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, encoded: Encoded, *targets: Tensor) -> Judged:
        (users,) = targets
        cosines = functional.cosine_similarity(encoded.embedding, users[:, None], dim=2)  # (B, 2)
        liked, disliked = cosines.unbind(1)
        losses = (self.margin - liked + disliked).relu()
        return Judged({"preference": losses}, {"liked_first": (liked > disliked).float()})
