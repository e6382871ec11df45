"""Sample-level CNN: convolutions of three samples on the raw waveform, and multi-level features.

Sources: Lee, Park, Nam et al., "Cross-cultural transfer learning using sample-level deep
convolutional neural networks" (MIREX 2017), and the authors' code of its network for the Million
Song Dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.card import AudioInput
from training.networks.base import Encoded, Encoder, even_patches, mean_over_patches
from training.networks.mel import SAMPLE_RATE, remove_dc

SIZE = 3  # of filters, of the stride of the first layer, and of the pooling
N_LAYERS, N_LEVELS = 11, 3
SEGMENT_SAMPLES = SIZE ** (N_LAYERS - 1)  # 59,049: one value is left of it
WINDOW_S, N_PATCHES = 30.0, 3
WIDTH = 128  # filters of the first three layers in the paper; the others have twice as many


class RawWaveform(nn.Module):
    """Front end: the waveform, (batch, n_samples), its mean subtracted, its level as it is.

    The paper's input is the waveform without any normalisation. The mean is subtracted as in every
    front end here, so that an inaudible offset changes nothing; in 3.7 s of music it is near 0.
    """

    def forward(self, waveform: Tensor) -> Tensor:
        return remove_dc(waveform)


def make_layer(in_channels: int, channels: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU: (B, C, 1, T) -> (B, F, 1, T), or (B, F, 1, T / stride).

    Two dimensions, of which one is 1: with channels last, a step of training in bfloat16 takes a
    CPU 0.38 of the time that one-dimensional convolutions take in float32.

    Batch norm averages its statistics over some ten steps, as is torch's default; the authors'
    code, over some hundred, which for sets of a thousand clips are several epochs.
    """
    padding = 0 if stride > 1 else size // 2  # 'valid' and 'same'
    # Without a bias: batch norm adds one.
    convolve = nn.Conv2d(in_channels, channels, (1, size), (1, stride), (0, padding), bias=False)
    nn.init.kaiming_uniform_(convolve.weight, nonlinearity="relu")
    return nn.Sequential(convolve, nn.BatchNorm2d(channels), nn.ReLU())


class SampleLevelCNN(Encoder):
    """Waveform (batch, S · 59,049) -> `Encoded` and `levels`, the means over the S segments.

    The features are the last hidden layer. The output `levels` is the paper's multi-level feature:
    of each of the last three hidden layers, 9, 3 and 1 values long, the maximum over time,
    concatenated from the lowest on, and the mean over segments.

    The paper hears 22,050 Hz, so that a segment is 2.68 s, in twelve overlapping segments of 30 s.
    The data here has 16 kHz, and so has this network: a segment is 3.69 s, and eight fill a window
    without overlap. Three are the default, in the centres of equal parts; `--patches` sets more.

    Parameters
    ----------
    width : filters of the first three layers; the other eight, and the features, have twice as many
    embedding_dim : if twice the width, the embedding is the features themselves; else a linear
        layer on them
    """

    title = "Sample-level CNN"
    audio = AudioInput(
        sample_rate=SAMPLE_RATE,
        window_s=WINDOW_S,
        short_audio="repeat",
        min_audio_s=0.5,
        patches=even_patches(N_PATCHES, SEGMENT_SAMPLES / SAMPLE_RATE, WINDOW_S),
    )
    crop_multiple = patch_multiple = SEGMENT_SAMPLES
    last_parts = (f"layers.{N_LAYERS - 1}",)

    def __init__(self, width: int = WIDTH, embedding_dim: int = 2 * WIDTH) -> None:
        super().__init__()
        self.width, self.features_dim = width, 2 * width
        channels = [1, *[width] * 3, *[2 * width] * (N_LAYERS - 3)]
        sizes = [SIZE] * (N_LAYERS - 1) + [1]
        self.layers = nn.ModuleList(
            make_layer(channels[index], channels[index + 1], size, 1 if index else SIZE)
            for index, size in enumerate(sizes)
        )
        self.replace_embedding(embedding_dim)

    @property
    def levels(self) -> Mapping[str, int]:
        return {"levels": N_LEVELS * self.features_dim}

    @classmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        return cls(width, embedding_dim)

    def replace_embedding(self, embedding_dim: int) -> None:
        super().replace_embedding(embedding_dim)
        if embedding_dim == self.features_dim:
            self.embed = nn.Identity()

    def make_front_end(self) -> nn.Module:
        return RawWaveform()

    def forward(self, inputs: Tensor) -> Encoded:
        embedding, features, _ = self.forward_with_levels(inputs)
        return Encoded(embedding, features)

    def forward_with_levels(self, inputs: Tensor) -> tuple[Tensor, ...]:
        n_segments = inputs.shape[1] // SEGMENT_SAMPLES
        segments = inputs.reshape(-1, 1, 1, SEGMENT_SAMPLES)  # (B, S · n) -> (B · S, 1, 1, n)
        levels = mean_over_patches(torch.cat(self._maxima(segments), 1), n_segments)
        features = levels[:, -self.features_dim :]
        embedding = self.embed(features)
        if embedding is features:  # an exported graph needs two tensors for two outputs
            embedding = features.clone()
        return embedding, features, levels

    def _maxima(self, x: Tensor) -> list[Tensor]:
        """Maximum over time of each of the last hidden layers, each (B, features_dim)."""
        maxima = []
        for index, layer in enumerate(self.layers):
            x = layer(x)  # (B, C, 1, T) -> (B, F, 1, T)
            if index >= N_LAYERS - N_LEVELS:
                maxima.append(x.amax((2, 3)))
            if 0 < index < N_LAYERS - 1:
                x = functional.max_pool2d(x, (1, SIZE))
        return maxima
