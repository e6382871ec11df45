"""Audio tower of user preference: log-mel magnitudes of 3 s -> a vector near its listeners'.

Sources: Chen, Liang, "Do user preference data benefit music genre classification tasks?" (2020),
which gives the dimension and the loss alone; Lee et al.'s code of deep-content-user, the nearest
published tower, for the layers.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from training.networks.base import Encoded, Encoder, mean_over_patches
from training.networks.siamese import KERNELS, N_MELS, POOLS, ConvBlock, LogMagnitude, SiameseCNN


class PreferenceTower(Encoder):
    """Spectrogram (batch, 128, T) -> `Encoded`; T is 129 for the 3 s that it is trained on.

    The front end and the layers' kernels and pools are those of `SiameseCNN`; there is no batch
    norm. `embedding` is a linear layer on the features, which are the mean over time.

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

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.width = self.features_dim = width
        channels = [N_MELS, width // 2, *[width] * (len(KERNELS) - 1)]
        sizes = zip(channels[:-1], channels[1:], KERNELS, POOLS, strict=True)
        self.blocks = nn.Sequential(*(ConvBlock(*size, has_norm=False) for size in sizes))
        self.replace_embedding(embedding_dim)

    @classmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        return cls(width, embedding_dim)

    def make_front_end(self) -> nn.Module:
        return LogMagnitude(self.audio.sample_rate)

    def make_onnx_front_end(self) -> nn.Module:
        return LogMagnitude(self.audio.sample_rate, folded=True)

    def forward(self, inputs: Tensor) -> Encoded:
        embedding, features = self.forward_patches(inputs, 1)
        return Encoded(embedding, features)

    def forward_patches(self, inputs: Tensor, n_patches: int) -> tuple[Tensor, ...]:
        """See `Encoder.forward_patches`."""
        features = mean_over_patches(self.blocks(inputs).mean(2), n_patches)  # -> (B, F)
        return self.embed(features), features
