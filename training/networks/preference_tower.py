"""Audio tower of user preference: log-mel magnitudes of 3 s -> a vector near its listeners'.

Sources: Chen, Liang, "Do user preference data benefit music genre classification tasks?" (2020),
which gives the dimension and the loss alone; Lee et al.'s code of deep-content-user, the nearest
published tower, for the layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from training.networks.base import Encoded, Encoder, mean_over_patches
from training.networks.siamese import KERNELS, N_MELS, POOLS, ConvBlock, LogMagnitude, SiameseCNN


class PreferenceTower(Encoder):
    """Spectrogram (batch, 128, T) -> `Encoded`; T is 129 for the 3 s that it is trained on.

    The front end and the layers' kernels and pools are those of `SiameseCNN`; there is no batch
    norm. So the input is scaled once more, by the mean and deviation of the training clips: the
    front end's numbers are those of the code's own data. `embedding` is a linear layer on the
    features, which are the mean over time.

    Parameters
    ----------
    width : filters of all layers but the first one, which has half of them: 256 and 128 in the
        code, whose embedding has 256 dimensions too
    embedding_dim : of the users' vectors, 40 in the paper
    """

    title = "User preference tower"
    audio = SiameseCNN.audio
    crop_multiple = SiameseCNN.crop_multiple
    last_parts = (f"blocks.{len(KERNELS) - 1}",)
    spectrogram_axes = SiameseCNN.spectrogram_axes

    input_mean: Tensor
    input_deviation: Tensor

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.register_buffer("input_mean", torch.zeros(1))
        self.register_buffer("input_deviation", torch.ones(1))
        self.width = self.features_dim = width
        channels = [N_MELS, width // 2, *[width] * (len(KERNELS) - 1)]
        sizes = zip(channels[:-1], channels[1:], KERNELS, POOLS, strict=True)
        self.blocks = nn.Sequential(*(ConvBlock(*size, has_norm=False) for size in sizes))
        self.replace_embedding(embedding_dim)

    @classmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        return cls(width, embedding_dim)

    def standardize(self, inputs: Iterable[Tensor]) -> None:
        """Set mean and deviation to those of all values of the inputs."""
        sums = [
            torch.stack([part.new_tensor(part.numel()), part.sum(), part.square().sum()])
            for part in (batch.double() for batch in inputs)
        ]
        count, total, squares = torch.stack(sums).sum(0)
        mean = total / count
        self.input_mean.fill_(mean)
        self.input_deviation.fill_((squares / count - mean.square()).clamp(min=1e-12).sqrt())

    def make_front_end(self) -> nn.Module:
        return LogMagnitude(self.audio.sample_rate)

    def make_onnx_front_end(self) -> nn.Module:
        return LogMagnitude(self.audio.sample_rate, folded=True)

    def forward(self, inputs: Tensor) -> Encoded:
        embedding, features = self.forward_patches(inputs, 1)
        return Encoded(embedding, features)

    def forward_patches(self, inputs: Tensor, n_patches: int) -> tuple[Tensor, ...]:
        """See `Encoder.forward_patches`."""
        scaled = (inputs - self.input_mean) / self.input_deviation
        pooled = self.blocks(scaled[:, :, None]).mean((2, 3))  # (B · P, F, 1, T) -> (B · P, F)
        features = mean_over_patches(pooled, n_patches)
        return self.embed(features), features
