"""Siamese CNN of artist, album and track: log-mel magnitudes of 3 s -> an embedding for cosines.

Sources: Park, Lee et al., "Representation learning of music using artist labels" (ISMIR 2018), and
Lee, Park, Nam, "Representation learning of music using artist, album, and track information"
(2019), with twice the filters; sizes as in the authors' code (ismir2018-artist).
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.card import AudioInput
from training.networks.base import Encoded, Encoder, even_patches, mean_over_patches
from training.networks.mel import SAMPLE_RATE, FoldedMel, cut_frames, mel_transform, remove_dc

N_MELS = 128
# The paper's frames, 1024 samples at 22,050 Hz, and half of one from frame to frame.
PAPER_N_FFT, PAPER_RATE = 1024, 22_050
# Mean and deviation of the paper's training spectrograms. `SiameseCNN` needs no other numbers for
# other data, since batch norm follows its first convolution.
MEAN, DEVIATION = 0.22620339, 0.25794547
KERNELS, POOLS = (4, 4, 4, 2, 1), (4, 4, 4, 2, 1)  # frames
EPSILON = 1e-3
WINDOW_S, PATCH_S, N_PATCHES = 30.0, 3.0, 10


def frame_length(sample_rate: int) -> int:
    """Length in samples of a frame that is as long in seconds as the paper's, a multiple of 4.

    744 at 16 kHz, so that 3 s are 129 frames as in the paper.
    """
    return 4 * round(PAPER_N_FFT / 4 * sample_rate / PAPER_RATE)


class LogMagnitude(nn.Module):
    """Front end: waveform (batch, n_samples) -> log10(1 + 10 · mel magnitude), (batch, 128, T).

    Scaled by the paper's mean and deviation. T is n_samples // hop, 129 for 3 s; frames are
    centred, and the ends are reflected, as librosa does, but a segment at a time: the authors cut
    segments from the spectrogram of a song, so the first and last frame differ. A constant offset
    is removed, which they do not do.

    Parameters
    ----------
    folded : whether to multiply by a folded DFT matrix, for export; otherwise by an FFT
    """

    def __init__(self, sample_rate: int, *, folded: bool = False) -> None:
        super().__init__()
        self.n_fft, self.folded = frame_length(sample_rate), folded
        self.hop_length = self.n_fft // 2
        self.mel: nn.Module = (
            FoldedMel(sample_rate, self.n_fft, N_MELS, magnitude=True)
            if folded
            else mel_transform(sample_rate, self.n_fft, self.hop_length, N_MELS, exponent=1.0)
        )

    def forward(self, waveform: Tensor) -> Tensor:
        n_frames = waveform.shape[1] // self.hop_length
        ends = (self.hop_length, self.hop_length)
        padded = functional.pad(remove_dc(waveform), ends, mode="reflect")
        if self.folded:
            frames = cut_frames(padded, n_frames, self.hop_length, self.n_fft)
            mel = self.mel(frames).transpose(1, 2)  # (B, T, M) -> (B, M, T)
        else:
            mel = self.mel(padded)[:, :, :n_frames]
        return (torch.log10(1 + 10 * mel) - MEAN) / DEVIATION


class ConvBlock(nn.Module):
    """Convolution over time, batch norm, ReLU, maximum: (B, C, 1, T) -> (B, F, 1, T // pool).

    Two dimensions, of which one is 1: with channels last, a step of training in bfloat16 takes a
    CPU 0.3 of the time that one-dimensional convolutions take in float32.
    """

    def __init__(
        self, in_channels: int, channels: int, kernel: int, pool: int, *, has_norm: bool = True
    ) -> None:
        super().__init__()
        # 'same' as Keras pads an even kernel: the longer side last.
        self.padding = ((kernel - 1) // 2, kernel // 2)
        self.convolve = nn.Conv2d(in_channels, channels, (1, kernel))
        # Keras' momentum of 0.99 would take thousands of steps to forget the first statistics.
        self.norm: Any = nn.BatchNorm2d(channels, EPSILON) if has_norm else nn.Identity()
        self.pool = pool
        nn.init.kaiming_uniform_(self.convolve.weight, nonlinearity="relu")  # Keras' he_uniform
        assert self.convolve.bias is not None
        nn.init.zeros_(self.convolve.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolve(functional.pad(x, self.padding))).relu()
        return functional.max_pool2d(x, (1, self.pool)) if self.pool > 1 else x


class SiameseCNN(Encoder):
    """Spectrogram (batch, 128, T) -> `Encoded`; T is 129 for the 3 s that it is trained on.

    `features` are the pooled channels, the mean over all patches; `embedding` are the features in
    unit length, so that the dot product of two embeddings is the cosine that is trained on.
    In training, batch norm is over all segments of a batch together: anchors, positives and
    negatives.

    Parameters
    ----------
    width : filters of the first four convolutions, 128 in 2018 and 256 in 2019; the last one has
        twice as many, the features
    embedding_dim : if it is not that of the features, the embedding is a linear layer on them
    """

    title = "Siamese CNN"
    audio = AudioInput(
        sample_rate=SAMPLE_RATE,
        window_s=WINDOW_S,
        short_audio="repeat",
        min_audio_s=0.5,
        patches=even_patches(N_PATCHES, PATCH_S, WINDOW_S),
    )
    crop_multiple = frame_length(SAMPLE_RATE) // 2
    last_parts = (f"blocks.{len(KERNELS) - 1}",)
    spectrogram_axes = (1, 2)

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.width, self.features_dim = width, 2 * width
        channels = [N_MELS, *[width] * (len(KERNELS) - 1), self.features_dim]
        sizes = zip(channels[:-1], channels[1:], KERNELS, POOLS, strict=True)
        self.blocks = nn.Sequential(*(ConvBlock(*size) for size in sizes))
        self.embed: nn.Module | None = None
        self.replace_embedding(embedding_dim)

    @classmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        return cls(width, embedding_dim)

    def replace_embedding(self, embedding_dim: int) -> None:
        if embedding_dim == self.features_dim:
            self.embed, self.embedding_dim = None, embedding_dim
        else:
            super().replace_embedding(embedding_dim)

    def make_front_end(self) -> nn.Module:
        return LogMagnitude(self.audio.sample_rate)

    def make_onnx_front_end(self) -> nn.Module:
        return LogMagnitude(self.audio.sample_rate, folded=True)

    def forward(self, inputs: Tensor) -> Encoded:
        embedding, features = self.forward_patches(inputs, 1)
        return Encoded(embedding, features)

    def forward_patches(self, inputs: Tensor, n_patches: int) -> tuple[Tensor, ...]:
        """See `Encoder.forward_patches`; the embedding is made of the mean features."""
        pooled = self.blocks(inputs[:, :, None]).mean((2, 3))  # (B · P, F, 1, T) -> (B · P, F)
        features = mean_over_patches(pooled, n_patches)
        if self.embed is None:
            return functional.normalize(features, dim=1), features
        return self.embed(features), features
