"""The CF estimator: mel spectrogram -> 40-d collaborative-filtering embedding.

Source: Lee et al., "Music feature extraction by knowledge transfer from user-item log data"
(2020), section 3.1.2 and table 1. The table prints four blocks, the text has five: five.
"""

from __future__ import annotations

import math
from typing import Self

from torch import Tensor, nn

from models.card import AudioInput
from training.cf.settings import AlsSettings
from training.networks.base import Encoded, Encoder
from training.networks.mel import HOP_LENGTH, SAMPLE_RATE, FoldedMelSpectrogram, MelSpectrogram

POOLS = ((4, 5), (3, 4), (2, 4), (2, 4))  # (mel bands, frames)
POOLED_FRAMES = math.prod(frames for _, frames in POOLS)
SE_RATIO = 8


class SqueezeExcitation(nn.Module):
    """Channel gate in (0, 1) from the channel means: (B, F, M, T) -> (B, F, 1, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // SE_RATIO
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(x.mean((2, 3)))  # (B, F, M, T) -> (B, F)
        return gate[:, :, None, None]


class DoubleConv(nn.Module):
    """Two times BatchNorm, ReLU, 3×3 convolution; then squeeze-and-excitation and pooling.

    The gate is positive, so max_pool(x · gate) = max_pool(x) · gate, and likewise for the mean:
    gating after the pooling gives the same numbers for a twentieth of the multiplications.
    """

    def __init__(self, in_channels: int, channels: int, pool: nn.Module) -> None:
        super().__init__()
        self.convolve = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.excite = SqueezeExcitation(channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolve(x)
        gated: Tensor = self.pool(x) * self.excite(x)
        return gated


class CFEstimator(Encoder):
    """Spectrogram (batch, 1, 96, T) -> `Encoded`; T is 1280, or in training a multiple of 320.

    Parameters
    ----------
    width : channels of every convolution, F in the paper: 32, 64, 128 or 256
    segment_frames : length of the training crops in frames. A longer spectrogram is cut into
        segments of this length, and the features are the mean over them; 0 takes it whole, as in
        the paper. (Trained on 7.5 s, the network is much worse on 30 s in one piece: the gates and
        the batch statistics are of another length.)
    embedding_dim : dimension of the item factors
    """

    title = "CF estimator"
    audio = AudioInput(
        sample_rate=SAMPLE_RATE, window_s=30.0, short_audio="repeat", min_audio_s=0.5
    )
    crop_multiple = patch_multiple = POOLED_FRAMES * HOP_LENGTH
    last_parts = (f"blocks.{len(POOLS)}",)
    spectrogram_axes = (2, 3)
    front_end_name = "mel"

    def __init__(
        self, width: int, segment_frames: int = 0, embedding_dim: int = AlsSettings.factors
    ) -> None:
        super().__init__()
        self.width = self.features_dim = width
        self.embedding_dim = embedding_dim
        self.segment_frames = segment_frames
        pools: list[nn.Module] = [nn.MaxPool2d(size) for size in POOLS]
        pools.append(nn.AdaptiveAvgPool2d(1))
        self.blocks = nn.Sequential(
            *(DoubleConv(width if index else 1, width, pool) for index, pool in enumerate(pools))
        )
        self.embed = nn.Linear(width, embedding_dim)

    @classmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        return cls(width, cls.crop_samples(crop_s) // HOP_LENGTH, embedding_dim)

    def make_front_end(self) -> nn.Module:
        return MelSpectrogram()

    def make_onnx_front_end(self) -> nn.Module:
        return FoldedMelSpectrogram()

    def forward(self, inputs: Tensor) -> Encoded:
        n_mels, n_frames = inputs.shape[2:]
        n_segments = n_frames // (self.segment_frames or n_frames)
        # (B, 1, M, S · T) -> (B, M, S, T) -> (B, S, M, T) -> (B · S, 1, M, T)
        segments = inputs.reshape(-1, n_mels, n_segments, n_frames // n_segments)
        segments = segments.transpose(1, 2).reshape(-1, 1, n_mels, n_frames // n_segments)
        features = self.blocks(segments)  # (B · S, F, 1, 1)
        features = features.reshape(-1, n_segments, self.width).mean(1)  # -> (B, F)
        return Encoded(self.embed(features), features)
