"""Further encoders: another front end, sample rate, window length and embedding size, in one file.

Their entries in the registry are `ENTRIES`; `training` has no line about them.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from models.card import AudioInput
from training.networks.base import Encoded, Encoder
from training.networks.registry import Entry

NAME, DEEP, FIXED = "tiny", "tiny-deep", "tiny-fixed"
ENTRIES = {
    NAME: Entry(f"{__name__}:TinyEncoder"),
    DEEP: Entry(f"{__name__}:DeepTinyEncoder"),
    FIXED: Entry(f"{__name__}:FixedTinyEncoder"),
}
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
        self.norm = nn.BatchNorm1d(1)
        self.hidden = self.make_hidden()
        self.embed = nn.Linear(self.features_dim, embedding_dim)

    def make_hidden(self) -> nn.Module:
        return nn.Linear(1, self.features_dim)

    @classmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        return cls(width, embedding_dim)

    def make_front_end(self) -> nn.Module:
        return LogEnergy()

    def forward(self, inputs: Tensor) -> Encoded:
        frames = self.norm(inputs[:, None]).transpose(1, 2)  # (B, T) -> (B, 1, T) -> (B, T, 1)
        features = torch.relu(self.hidden(frames)).mean(1)  # (B, T, F) -> (B, F)
        return Encoded(self.embed(features), features)


class DeepTinyEncoder(TinyEncoder):
    """Another structure for the same windows: a student that its teacher's weights do not fit."""

    title = "Deep tiny encoder"

    def make_hidden(self) -> nn.Module:
        return nn.Sequential(
            nn.Linear(1, self.width), nn.ReLU(), nn.Linear(self.width, self.features_dim)
        )


class FixedTinyEncoder(TinyEncoder):
    """An embedding size that is a fact of the architecture, whatever is asked for."""

    title = "Tiny encoder with a fixed embedding size"

    @classmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        return cls(width, 3)
