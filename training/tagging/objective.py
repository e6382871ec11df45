"""Binary cross-entropy on the labels of a clip, from a layer that is no part of the encoder."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from training.networks.base import Encoded
from training.objectives.module import Judged, Objective


class TagLoss(Objective):
    """Mean over the labels of the cross-entropy of each, from a linear layer on the embedding.

    Measures: `top_label`, 1 where the label with the highest probability is one of the clip's.

    Source: Lee et al. 2017 and their code.
    """

    def __init__(self, embedding_dim: int, n_labels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(embedding_dim, n_labels)

    def forward(self, encoded: Encoded, *targets: Tensor) -> Judged:
        (labels,) = targets
        logits = self.layer(encoded.embedding.squeeze(1))  # (B, 1, D) -> (B, n_labels)
        losses = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        top = labels.gather(1, logits.argmax(1, keepdim=True))
        return Judged({"tags": losses.mean(1)}, {"top_label": top.squeeze(1)})
