"""Abstract base class of the encoders, and what an encoder returns.

An encoder owns everything that depends on its architecture: front end, audio input, crop lengths,
output sizes, and how it is built from settings or rebuilt from the card of its bundle. Training,
export, transfer and evaluation know this class and the registry alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from models.card import AudioInput, Card, Patches
from training.audio.crop_limit import check_crop_length
from training.errors import BadPatches


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
    patch_multiple : in samples; what the length of other patches than the default's must be a
        multiple of
    last_parts : submodules before the embedding layer that `--trainable last` trains too
    spectrogram_axes : axes of frequency and time in the front end's output; None if it has no such
    front_end_name : attribute that holds the front end in exported graphs and in checkpoints; the
        name is part of both
    memory_format : of the weights and images of a training run
    width : the size that `--width` sets
    embedding_dim, features_dim : of the outputs
    levels : name → dimension of further outputs, in the order of `forward_with_levels`
    """

    title: ClassVar[str]
    audio: AudioInput
    crop_multiple: ClassVar[int]
    patch_multiple: ClassVar[int] = 1
    spectrogram_axes: ClassVar[tuple[int, int] | None] = None
    last_parts: ClassVar[tuple[str, ...]] = ()
    front_end_name: ClassVar[str] = "front_end"
    memory_format: ClassVar[torch.memory_format] = torch.channels_last
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

    def standardize(self, inputs: Iterable[Tensor]) -> None:
        """Set the numbers that the network scales its input by, if it has any; here it has none.

        Parameters
        ----------
        inputs : of the front end, batches of training clips
        """

    @abstractmethod
    def make_front_end(self) -> nn.Module:
        """Front end for training: waveform (batch, n_samples) in [-1, 1] -> network input."""

    def make_onnx_front_end(self) -> nn.Module:
        """Front end for export, the same numbers by operators that every ONNX provider runs."""
        return self.make_front_end()

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

    @classmethod
    def patched_audio(cls, patches: int, patch_s: float) -> AudioInput:
        """The audio input with other patches than the default's, in the centres of equal parts.

        Parameters
        ----------
        patches : number of patches; 0: as many as in the default input, or one
        patch_s : length of a patch; 0: as in the default input, or the window's; if both are 0, the
            input is the default

        Raises
        ------
        BadPatches
        """
        audio = cls.audio
        if not (patches or patch_s):
            return audio
        patches = patches or len(audio.patch_starts)
        patch_s = patch_s or (audio.patches.seconds if audio.patches else audio.window_s)
        if round(patch_s * audio.sample_rate) % cls.patch_multiple:
            multiple_s = cls.patch_multiple / audio.sample_rate
            reason = f"the length must be a multiple of {multiple_s:g} s, which its pooling divides"
            raise BadPatches(patches, patch_s, reason)
        placed = even_patches(patches, patch_s, audio.window_s)
        try:
            return AudioInput.model_validate(audio.model_dump() | {"patches": placed.model_dump()})
        except ValidationError as error:
            raise BadPatches(patches, patch_s, error.errors()[0]["msg"]) from error

    @abstractmethod
    def forward(self, inputs: Tensor) -> Encoded:
        """Front-end output (batch, …) -> `Encoded`."""

    def forward_with_levels(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Embedding, features and each of `levels`, all of shape (batch, dim)."""
        return tuple(self(inputs))

    def forward_patches(self, inputs: Tensor, n_patches: int) -> tuple[Tensor, ...]:
        """Outputs of `forward_with_levels` for windows of several patches, the means over them.

        Parameters
        ----------
        inputs : of the front end, (batch · n_patches, …)
        """
        outputs = self.forward_with_levels(inputs)
        return tuple(mean_over_patches(output, n_patches) for output in outputs)


def mean_over_patches(output: Tensor, n_patches: int) -> Tensor:
    """(batch · n_patches, dim) -> (batch, dim)."""
    if n_patches == 1:
        return output
    return output.reshape(-1, n_patches, output.shape[1]).mean(1)


def even_patches(count: int, seconds: float, window_s: float) -> Patches:
    """Patches in the centres of `count` equal parts of a window.

    Raises
    ------
    BadPatches
        Where the patches do not fit into the window.
    """
    if count * seconds > window_s:
        raise BadPatches(count, seconds, f"together they are longer than {window_s:g} s, a window")
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
