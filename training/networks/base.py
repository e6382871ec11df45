"""Abstract base class of the encoders, and what an encoder returns.

An encoder owns everything that depends on its architecture: front end, audio input, crop lengths,
output sizes, and how it is built from settings or rebuilt from the card of its bundle. Training,
export, transfer and evaluation know this class and the registry alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

from torch import Tensor, nn

from models.card import AudioInput, Card, Patches
from training.audio.crop_limit import check_crop_length
from training.errors import BadCrop


class Encoded(NamedTuple):
    """`embedding` (batch, embedding_dim) and the layer before it, `features` (batch, dim)."""

    embedding: Tensor
    features: Tensor


class Encoder(nn.Module, ABC):
    """Base class of the encoders: front-end output -> `Encoded`.

    The front end is a module of its own and no part of the encoder: it has no weights to share, and
    training and export compute it in different ways.

    A window longer than the training crop is the encoder's matter: `forward` takes any multiple of
    `crop_multiple` samples and returns one embedding. The last layer, from features to embedding,
    is its attribute `embed`.

    Attributes
    ----------
    title : what cards call the architecture
    audio : sample rate, window and patches of the waveform; of the class, the default
    crop_multiple : in samples; what its pooling (or its patches) divides, so crops are multiples
    front_end_name : attribute that holds the front end in exported graphs and in checkpoints; the
        name is part of both
    width : the size that `--width` sets
    embedding_dim, features_dim : of the outputs
    levels : name → dimension of further outputs, in the order of `forward_with_levels`
    """

    title: ClassVar[str]
    audio: AudioInput
    crop_multiple: ClassVar[int]
    front_end_name: ClassVar[str] = "front_end"
    width: int
    embedding_dim: int
    features_dim: int
    embed: Any

    @property
    def levels(self) -> Mapping[str, int]:
        return {}

    @classmethod
    @abstractmethod
    def build(cls, *, width: int, embedding_dim: int, crop_s: float) -> Self:
        """An encoder with random weights, to be trained on crops of `crop_s`; 0: whole windows."""

    @classmethod
    def from_card(cls, card: Card) -> Self:
        """An encoder of the sizes and audio input that a card states, its weights still random."""
        encoder = cls.build(
            width=width_of_card(card),
            embedding_dim=card.output_shape("embedding")[0],
            crop_s=trained_crop_s(card),
        )
        encoder.audio = card.audio
        return encoder

    def replace_embedding(self, embedding_dim: int) -> None:
        """A new last layer with random weights, for an embedding of another size."""
        self.embed = nn.Linear(self.features_dim, embedding_dim)
        self.embedding_dim = embedding_dim

    @classmethod
    @abstractmethod
    def make_front_end(cls) -> nn.Module:
        """Front end for training: waveform (batch, n_samples) in [-1, 1] -> network input."""

    @classmethod
    def make_onnx_front_end(cls) -> nn.Module:
        """Front end for export, the same numbers by operators that every ONNX provider runs."""
        return cls.make_front_end()

    @classmethod
    def crop_samples(cls, crop_s: float) -> int:
        """Length of a training crop: `crop_s` rounded to `crop_multiple`; 0 for whole windows.

        A crop of a whole patch (or window) is rounded down where it is no multiple.

        Raises
        ------
        BadCrop
            Where the crop is longer than a patch; without patches, than the window.
        """
        if crop_s <= 0:
            return 0
        check_crop_length(crop_s, cls.audio)
        n_steps = round(crop_s * cls.audio.sample_rate / cls.crop_multiple)
        max_steps = cls.audio.patch_samples // cls.crop_multiple
        return max(1, min(n_steps, max_steps)) * cls.crop_multiple

    @abstractmethod
    def forward(self, inputs: Tensor) -> Encoded:
        """Front-end output (batch, …) -> `Encoded`."""

    def forward_with_levels(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Embedding, features and each of `levels`, all of shape (batch, dim)."""
        return tuple(self(inputs))


def even_patches(count: int, seconds: float, window_s: float) -> Patches:
    """Patches in the centres of `count` equal parts of a window.

    Raises
    ------
    BadCrop
        Where the patches do not fit into the window.
    """
    if count * seconds > window_s:
        raise BadCrop(count * seconds, window_s)
    centres_s = [(index + 0.5) * window_s / count for index in range(count)]
    return Patches(
        seconds=seconds, starts_s=tuple(round(centre_s - seconds / 2, 6) for centre_s in centres_s)
    )


def width_of_card(card: Card) -> int:
    """The width that a bundle's network was built with; where not stated, that of the features."""
    stated = card.provenance.hyperparameters.get("width")
    return int(stated or card.output_shape("features")[0])


def trained_crop_s(card: Card) -> float:
    """Length in seconds of the crops that a bundle's network was trained on; 0: whole windows."""
    return float(card.provenance.hyperparameters.get("crop_s") or 0)
