"""Task model: an encoder with an output layer on its embedding, for a small labelled task.

Source: Lee et al. 2020, section 3.2 and figure 3: the embedding, the CF estimator's output, is the
task model's penultimate layer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.networks.base import Encoded, Encoder


class TaskOutput(NamedTuple):
    """`outputs` (batch, n_outputs); `embedding` and `features` of the encoder, see `Encoded`."""

    outputs: Tensor
    embedding: Tensor
    features: Tensor


class TaskModel(nn.Module):
    """Front-end output of the encoder -> `TaskOutput`.

    Parameters
    ----------
    n_outputs : classes, whose outputs are logits, or targets, whose outputs have their unit

    The buffers `scale` and `shift`, both (n_outputs,), bring the output layer to the targets' unit;
    for classes they are 1 and 0 until a temperature is set.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, encoder: Encoder, n_outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.output_layer = nn.Linear(encoder.embedding_dim, n_outputs)
        self.register_buffer("scale", torch.ones(n_outputs))
        self.register_buffer("shift", torch.zeros(n_outputs))

    def forward(self, inputs: Tensor) -> TaskOutput:
        encoded: Encoded = self.encoder(inputs)
        return TaskOutput(self.output(encoded.embedding), encoded.embedding, encoded.features)

    def output(self, embedding: Tensor) -> Tensor:
        """(B, embedding_dim) -> (B, n_outputs)."""
        outputs: Tensor = self.output_layer(embedding)
        return outputs * self.scale + self.shift


def forward_patches(
    network: Encoder | TaskModel, inputs: Tensor, n_patches: int
) -> Encoded | TaskOutput:
    """Outputs for windows of several patches, see `Encoder.forward_patches`.

    Parameters
    ----------
    inputs : of the front end, (batch · n_patches, …)
    """
    embedding, features, *_ = encoder_of(network).forward_patches(inputs, n_patches)
    if isinstance(network, TaskModel):
        return TaskOutput(network.output(embedding), embedding, features)
    return Encoded(embedding, features)


def encoder_of(network: Encoder | TaskModel) -> Encoder:
    """The encoder itself, or that of a task model."""
    return network.encoder if isinstance(network, TaskModel) else network
