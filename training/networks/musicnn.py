"""MusiCNN: a music tagger that has heard recordings, as an encoder; 3 s of log-mel -> 200 features.

Source: Pons, Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging"
(2019), and the code of the package `musicnn` 0.1.0: each layer is convolution, ReLU, then batch
normalisation. `training.pretrained.musicnn` reads the published weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.card import AudioInput, Card
from training.networks.base import Encoded, Encoder, even_patches, mean_over_patches, width_of_card
from training.networks.gated_linear import make_map
from training.networks.mel import N_FFT, N_MELS, SAMPLE_RATE, FoldedMel, cut_frames, remove_dc

HOP_LENGTH = 256
WINDOW_S, PATCH_S, N_PATCHES = 30.0, 3.0, 3
EPSILON = 1e-3
# (frames, mel bands) and number of the filters that hear timbre, and those that hear rhythm.
TIMBRAL, TIMBRAL_FILTERS = ((7, 38), (7, 67)), 204
TEMPORAL, TEMPORAL_FILTERS = (128, 64, 32), 51
RESIDUAL_LAYERS, RESIDUAL_FILTERS, RESIDUAL_FRAMES = 3, 64, 7
POOLED = (
    len(TIMBRAL) * TIMBRAL_FILTERS
    + len(TEMPORAL) * TEMPORAL_FILTERS
    + RESIDUAL_LAYERS * RESIDUAL_FILTERS
)
PENULTIMATE = 200
# Pooled levels, name → dimension.
LEVELS = {"max_pool": POOLED, "mean_pool": POOLED, "mel_statistics": 3 * N_MELS}
# Tags of the Million Song Dataset and of MagnaTagATune.
N_TAGS = 50


class LogMel(nn.Module):
    """Front end: waveform (batch, n_samples) -> log10(10000 · mel power + 1), (batch, T, 96).

    T is n_samples // 256: 187 for a patch of 3 s. As in the published code, frames are centred, the
    ends are reflected, and the power passes float16; samples are clipped to [-1, 1] first, since
    larger ones overflow there. A constant offset is removed, which the published code does not do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.power = FoldedMel()

    def forward(self, waveform: Tensor) -> Tensor:
        n_frames = waveform.shape[1] // HOP_LENGTH
        centred = remove_dc(waveform.clamp(-1, 1))
        padded = functional.pad(centred, (N_FFT // 2, N_FFT // 2), mode="reflect")
        frames = cut_frames(padded, n_frames, HOP_LENGTH, N_FFT)
        power: Tensor = self.power(frames)  # (B, n) -> (B, T, 513) -> (B, T, 96)
        return torch.log10(10_000 * power.half().float() + 1)


class TimbralBlock(nn.Module):
    """Filters over a range of mel bands, and the maximum over all bands: (B, 1, T, M) -> (B, F, T).

    The maximum is taken of the bare convolution where the weights are fixed: ReLU and a batch norm
    with γ ≥ 0 preserve the order, and for γ < 0, where the maximum is at the convolution's minimum,
    convolution and result change their sign. The numbers are the same, and only a fiftieth of them
    passes ReLU and batch norm, which in int8 is most of the time.
    """

    def __init__(self, kernel: tuple[int, int], padding: tuple[int, int], filters: int) -> None:
        super().__init__()
        self.padding = padding
        self.convolve = nn.Conv2d(1, filters, kernel)
        self.norm = nn.BatchNorm2d(filters, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, 0, *self.padding))
        if self.training:  # the batch's statistics are over all positions
            trained: Tensor = self.norm(self.convolve(x).relu()).amax(3)
            return trained
        sign = torch.where(self.norm.weight < 0, -1.0, 1.0)
        weight, bias = self.convolve.weight, self.convolve.bias
        assert bias is not None
        x = functional.conv2d(x, weight * sign[:, None, None, None], bias * sign)
        x = functional.max_pool2d(x, (1, x.shape[3]))  # (B, F, T, M) -> (B, F, T, 1)
        normed: Tensor = self.norm((x * sign[:, None, None]).relu())
        return normed.squeeze(3)


class ResidualBlock(nn.Module):
    """Convolution over seven frames of all channels: (B, C, T) -> (B, F, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        frames = RESIDUAL_FRAMES
        self.convolve = nn.Conv1d(channels, RESIDUAL_FILTERS, frames, padding=frames // 2)
        self.norm = nn.BatchNorm1d(RESIDUAL_FILTERS, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.convolve(x).relu())
        return normed


class MusiCNN(Encoder):
    """Log-mel spectrogram (batch, T, 96) -> `Encoded`, and the levels of the published network.

    Levels: `max_pool` and `mean_pool` over time of all 753 channels; `mel_statistics`, the mean,
    standard deviation and mean absolute change in time of each band of the input; and `tags`, the
    probability of each of 50 tags, if the network has an output layer for them.

    Parameters
    ----------
    width : units of the penultimate layer, 200 in the published networks
    embedding_dim : if `width`, the embedding is the penultimate layer itself, unless `embed_source`
        is given; else a linear layer on it
    n_tags : 0 for a network without tags
    embed_source : what the linear layer takes, concatenated: `features` and any of the levels, but
        for the tags
    n_maps : number of linear maps that the layer mixes by a gate, see `GatedLinear`
    has_levels : whether the levels are outputs
    """

    title = "MusiCNN"
    audio = AudioInput(
        sample_rate=SAMPLE_RATE,
        window_s=WINDOW_S,
        short_audio="repeat",
        min_audio_s=0.5,
        patches=even_patches(N_PATCHES, PATCH_S, WINDOW_S),
    )
    crop_multiple = HOP_LENGTH
    last_parts = ("residual", "dense")
    # Its images have one channel: channels last, the gradient of the wide kernels takes six times
    # as long on a CPU, and a training step twice as long.
    memory_format = torch.contiguous_format
    spectrogram_axes = (2, 1)

    def __init__(
        self,
        width: int = PENULTIMATE,
        embedding_dim: int = PENULTIMATE,
        n_tags: int = 0,
        *,
        embed_source: tuple[str, ...] = (),
        n_maps: int = 1,
        has_levels: bool = True,
    ) -> None:
        super().__init__()
        self.width = self.features_dim = width
        self.embedding_dim, self.n_tags, self.has_levels = embedding_dim, n_tags, has_levels
        self.normalise = nn.BatchNorm2d(1, EPSILON)
        self.front = nn.ModuleList(
            [TimbralBlock(kernel, (3, 3), TIMBRAL_FILTERS) for kernel in TIMBRAL]
            + [
                TimbralBlock((frames, 1), ((frames - 1) // 2, frames // 2), TEMPORAL_FILTERS)
                for frames in TEMPORAL
            ]
        )
        first = POOLED - RESIDUAL_LAYERS * RESIDUAL_FILTERS
        channels = [first] + [RESIDUAL_FILTERS] * (RESIDUAL_LAYERS - 1)
        self.residual = nn.ModuleList(map(ResidualBlock, channels))
        self.dense = nn.Sequential(
            nn.BatchNorm1d(2 * POOLED, EPSILON),
            nn.Dropout(0.5),
            nn.Linear(2 * POOLED, width),
            nn.ReLU(),
            nn.BatchNorm1d(width, EPSILON),
        )
        self.embed_source = embed_source or ("features",)
        self.embed: nn.Module | None = None
        if embed_source or n_maps > 1 or embedding_dim != width:
            n_in = sum((LEVELS | {"features": width})[name] for name in self.embed_source)
            self.embed = make_map(n_in, embedding_dim, n_maps)
        self.tag_layer = nn.Linear(width, n_tags) if n_tags else None

    @property
    def levels(self) -> Mapping[str, int]:
        if not self.has_levels:
            return {}
        return LEVELS | ({"tags": self.n_tags} if self.n_tags else {})

    @classmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        return cls(width, embedding_dim)

    @classmethod
    def from_card(cls, card: Card) -> Self:
        names = {tensor.name for tensor in card.outputs}
        facts = card.provenance.hyperparameters
        source = str(facts.get("embed_source") or "")
        network = cls(
            width_of_card(card),
            card.output_shape("embedding")[0],
            card.output_shape("tags")[0] if "tags" in names else 0,
            embed_source=tuple(source.split("+")) if source else (),
            n_maps=int(facts.get("embed_maps") or 1),
            has_levels=names >= LEVELS.keys(),
        )
        network.audio = card.audio
        return network

    def replace_embedding(self, embedding_dim: int) -> None:
        super().replace_embedding(embedding_dim)
        self.embed_source = ("features",)

    def make_front_end(self) -> nn.Module:
        return LogMel()

    def forward(self, inputs: Tensor) -> Encoded:
        embedding, features, *_ = self.forward_with_levels(inputs)
        return Encoded(embedding, features)

    def forward_with_levels(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return self.forward_patches(inputs, 1)

    def forward_patches(self, inputs: Tensor, n_patches: int) -> tuple[Tensor, ...]:
        """See `Encoder.forward_patches`; the embedding is made of the means.

        For a linear layer that is the mean of the embeddings; the gate of several is not linear,
        and was fitted on means.
        """
        pooled = self._pool(inputs)
        outputs = {name: mean_over_patches(pooled[name], n_patches) for name in pooled}
        features = outputs["features"]
        if self.embed is None:  # a copy, since an exported graph needs two tensors for two outputs
            embedding = features.clone()
        else:
            embedding = self.embed(torch.cat([outputs[name] for name in self.embed_source], 1))
        return embedding, features, *(outputs[name] for name in self.levels)

    def _pool(self, inputs: Tensor) -> dict[str, Tensor]:
        """`features` and every level, each (batch, dim)."""
        image = self.normalise(inputs.unsqueeze(1))  # (B, T, M) -> (B, 1, T, M)
        front = torch.cat([block(image) for block in self.front], 1)  # -> (B, 561, T)
        layers = [front, self.residual[0](front)]
        for block in self.residual[1:]:
            layers.append(block(layers[-1]) + layers[-1])
        channels = torch.cat(layers, 1)  # (B, 753, T)
        max_pool, mean_pool = channels.amax(2), channels.mean(2)
        # Interleaved, as the published weights expect: max 0, mean 0, max 1, …
        features = self.dense(torch.stack([max_pool, mean_pool], 2).flatten(1))
        pooled = {"features": features, "max_pool": max_pool, "mean_pool": mean_pool}
        pooled["mel_statistics"] = spectrum_statistics(inputs)
        if self.tag_layer is not None:
            pooled["tags"] = self.tag_layer(features).sigmoid()
        return pooled


def spectrum_statistics(spectrogram: Tensor) -> Tensor:
    """Mean, standard deviation, mean absolute change in time: (B, T, M) -> (B, 3 · M)."""
    change = (spectrogram[:, 1:] - spectrogram[:, :-1]).abs().mean(1)
    mean = spectrogram.mean(1, keepdim=True)
    spread = (spectrogram - mean).square().mean(1).sqrt()
    return torch.cat([mean.squeeze(1), spread, change], 1)
