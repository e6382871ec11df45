"""Hinge loss on cosines of an anchor to its positive and its negatives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from training.networks.base import Encoded
from training.objectives.module import Judged, Objective


class ConceptHinge(Objective):
    """max(0, margin − s⁺ + s⁻), summed over negatives, concepts and the batch; s is the cosine.

    Measures: `found/<concept>`, 1 where the positive is nearer to the anchor than every negative
    is, by chance of one in 1 + `negatives`.

    Source: Lee, Park, Nam 2019; the sum over negatives and batch is that of the code of Park, Lee
    et al. 2018.

    Parameters
    ----------
    margins : concept → margin, in the order of the groups in an item
    """

    sums = True

    def __init__(self, margins: Mapping[str, float], negatives: int) -> None:
        super().__init__()
        self.margins, self.negatives = dict(margins), negatives

    def forward(self, encoded: Encoded, *targets: Tensor) -> Judged:
        # (B, c · k, D) -> c × (B, k, D), of c concepts
        groups = torch.split(encoded.embedding, 2 + self.negatives, dim=1)
        losses, measures = {}, {}
        for (concept, margin), group in zip(self.margins.items(), groups, strict=True):
            cosines = functional.cosine_similarity(group[:, :1], group[:, 1:], dim=2)  # (B, 1 + N)
            positive, negative = cosines[:, :1], cosines[:, 1:]
            losses[concept] = (margin - positive + negative).relu().sum(1)
            measures[f"found/{concept}"] = (positive > negative).all(1).float()
        return Judged(losses, measures)
