"""A network for a small labelled task: an encoder, and an output layer on its embedding.

Source: Lee et al. 2020, section 3.2 and figure 3: the 40-d layer that is the CF estimator's output
is the task model's penultimate one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.networks.cf_estimator import EMBEDDING_DIM, Encoded


class Answered(NamedTuple):
    """`outputs` (batch, n_outputs); the encoder's `embedding` (batch, 40) and `features`."""

    outputs: Tensor
    embedding: Tensor
    features: Tensor


class TaskModel(nn.Module):
    """Spectrogram (batch, 1, 96, T) -> `Answered`.

    Parameters
    ----------
    encoder : any network from spectrogram to `Encoded`
    n_outputs : classes, whose outputs are logits, or targets, whose outputs have their unit

    The buffers `scale` and `shift`, both (n_outputs,), bring the output layer to the targets' unit;
    for classes they are 1 and 0 until a temperature is set.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, encoder: nn.Module, n_outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decide = nn.Linear(EMBEDDING_DIM, n_outputs)
        self.register_buffer("scale", torch.ones(n_outputs))
        self.register_buffer("shift", torch.zeros(n_outputs))

    def forward(self, spectrogram: Tensor) -> Answered:
        encoded: Encoded = self.encoder(spectrogram)
        return Answered(self.output(encoded.embedding), encoded.embedding, encoded.features)

    def output(self, embedding: Tensor) -> Tensor:
        """(B, 40) -> (B, n_outputs)."""
        decided: Tensor = self.decide(embedding)
        return decided * self.scale + self.shift
