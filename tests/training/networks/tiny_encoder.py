"""A second encoder: another front end, sample rate, window length and embedding size, in one file.

Its entry in the registry is `ENTRY`; `training` has no line about it.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from models.card import AudioInput
from training.networks.base import Encoded, Encoder
from training.networks.registry import Entry

NAME, ENTRY = "tiny", Entry(f"{__name__}:TinyEncoder")
FRAME = 400


class LogEnergy(nn.Module):
    """Front end: waveform (B, n) -> logarithm of each frame's energy, (B, n // 400)."""

    def forward(self, waveform: Tensor) -> Tensor:
        frames = waveform.reshape(waveform.shape[0], -1, FRAME)  # (B, n) -> (B, T, 400)
        return frames.square().mean(2).clamp(min=1e-6).log()


class TinyEncoder(Encoder):
    """Frame energies (B, T) -> `Encoded`, by a network on each frame and a mean over frames."""

    title = "Tiny encoder"
    audio = AudioInput(sample_rate=8_000, window_s=2.0, short_audio="repeat", min_audio_s=0.1)
    crop_multiple = FRAME

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.width, self.embedding_dim = width, embedding_dim
        self.features_dim = 2 * width  # another number than the width
        self.hidden = nn.Linear(1, self.features_dim)
        self.embed = nn.Linear(self.features_dim, embedding_dim)

    @classmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        return cls(width, embedding_dim)

    @classmethod
    def make_front_end(cls) -> nn.Module:
        return LogEnergy()

    def forward(self, inputs: Tensor) -> Encoded:
        hidden = torch.relu(self.hidden(inputs[:, :, None]))  # (B, T) -> (B, T, F)
        features = hidden.mean(1)  # (B, T, F) -> (B, F)
        return Encoded(self.embed(features), features)
