"""The CF estimator: mel spectrogram -> 40-d collaborative-filtering embedding.

Source: Lee et al., "Music feature extraction by knowledge transfer from user-item log data"
(2020), section 3.1.2 and table 1. The table prints four blocks, the text has five: five.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from training.networks.mel import HOP_LENGTH, SAMPLE_RATE

EMBEDDING_DIM = 40
WIDTHS = (32, 64, 128, 256)
POOLS = ((4, 5), (3, 4), (2, 4), (2, 4))
SE_RATIO = 8


class Encoded(NamedTuple):
    """`embedding` (batch, 40) and the layer before it, `features` (batch, width)."""

    embedding: Tensor
    features: Tensor


class SqueezeExcitation(nn.Module):
    """A gate in (0, 1) for each channel, from the channel's mean: (B, F, M, T) -> (B, F, 1, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // SE_RATIO
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(x.mean((2, 3)))
        return gate[:, :, None, None]


class DoubleConv(nn.Module):
    """Two times BatchNorm, ReLU, 3×3 convolution; then squeeze-and-excitation and pooling.

    The gate is positive, so max_pool(x · gate) = max_pool(x) · gate, and so for the mean: gating
    after the pooling gives the same numbers for a twentieth of the multiplications.
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


class CFEstimator(nn.Module):
    """Spectrogram (batch, 1, 96, T) -> `Encoded`; T is 1280, or in training a multiple of 320.

    Parameters
    ----------
    width : channels of every convolution, F in the paper: 32, 64, 128 or 256
    segment_frames : what the network hears at a time, the crop that it was trained on; a longer
        spectrogram is heard segment by segment, and the features are their mean. 0 hears it whole,
        as in the paper. (Trained on 7.5 s, it is much worse on 30 s heard whole: the gates and the
        batch statistics are of another length.)
    """

    def __init__(self, width: int, segment_frames: int = 0) -> None:
        super().__init__()
        self.width = width
        self.segment_frames = segment_frames
        pools: list[nn.Module] = [nn.MaxPool2d(size) for size in POOLS]
        pools.append(nn.AdaptiveAvgPool2d(1))
        self.blocks = nn.Sequential(
            *(DoubleConv(width if index else 1, width, pool) for index, pool in enumerate(pools))
        )
        self.embed = nn.Linear(width, EMBEDDING_DIM)

    def forward(self, spectrogram: Tensor) -> Encoded:
        n_mels, n_frames = spectrogram.shape[2:]
        n_segments = n_frames // (self.segment_frames or n_frames)
        # (B, 1, M, S · T) -> (B, M, S, T) -> (B, S, M, T) -> (B · S, 1, M, T)
        segments = spectrogram.reshape(-1, n_mels, n_segments, n_frames // n_segments)
        segments = segments.transpose(1, 2).reshape(-1, 1, n_mels, n_frames // n_segments)
        features = self.blocks(segments)  # (B · S, F, 1, 1)
        features = features.reshape(-1, n_segments, self.width).mean(1)  # -> (B, F)
        return Encoded(self.embed(features), features)


# What the network's pooling divides time by: crops are multiples of it, in frames.
POOLED_FRAMES = 320


def crop_frames(crop_s: float) -> int:
    """A crop in frames of the spectrogram, rounded to what the pooling divides; 0 for none."""
    n_steps = round(crop_s * SAMPLE_RATE / (POOLED_FRAMES * HOP_LENGTH))
    return max(1, n_steps) * POOLED_FRAMES if crop_s > 0 else 0
