"""Mix-down to mono: the mean of the channels, in phase where the channels cancel.

The wrong rule was "the mean of the channels is what is heard". A channel of reversed polarity, a
known fault of masters, cancels the other one: what is left is silence, or the noise of the codec.
So where nearly all of the channels' power is lost in their mean, the channels of the other polarity
than the loudest one are reversed. Otherwise the mean is what it always was, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.audio.length import Notes
from models.audio.window_choice import Samples

# Share of the power that uncorrelated channels would leave; 1 + the correlation of two equally loud
# ones. Passages of real stereo leave 0.88 and more, independent channels 1.
MAX_CANCELLED = 0.1
# Every so many samples the channels are compared, by the number of samples: some hundred points
# tell the correlation to the second digit. Primes, so that no usual tone is always met in the same
# phase.
STRIDES = ((500_000, 509), (32_000, 127), (4_096, 17), (0, 1))
IN_PHASE = "the channels cancel each other in their mean: they are mixed down in phase"


class Mix:
    """Weights of the channels, and what the channels have in common.

    Parameters
    ----------
    signs : polarity of each channel; None for the plain mean
    """

    def __init__(self, signs: NDArray[np.float32] | None = None) -> None:
        self.signs = signs
        self._compared: list[NDArray[Any]] = []

    def observe(self, planes: Sequence[NDArray[Any]]) -> None:
        """Compare the channels of a part of the audio; each of shape (n,)."""
        n_samples = planes[0].size
        stride = next(stride for min_samples, stride in STRIDES if n_samples >= min_samples)
        self._compared.append(np.array([plane[::stride] for plane in planes]))

    def apply(self, planes: Sequence[NDArray[Any]], scale: float = 1.0) -> Samples:
        """The mean of the channels with their signs, times `scale`."""
        assert self.signs is not None
        mono = np.zeros(planes[0].size, np.float32)
        for sign, plane in zip(self.signs, planes, strict=True):
            mono += sign * plane
        mono *= np.float32(scale / len(planes))
        return mono

    def in_phase(self) -> Mix | None:
        """The mix with the channels in phase; None where they do not cancel in the mean."""
        # The number of channels may change within a file.
        parts = [part for part in self._compared if len(part) == len(self._compared[0])]
        if not parts or len(parts[0]) == 1:
            return None
        compared = np.concatenate(parts, 1).astype(np.float64)
        # Without the means: a constant offset is inaudible.
        compared -= compared.mean(1, keepdims=True)
        covariance = compared @ compared.T / compared.shape[1]
        power = float(np.trace(covariance))
        if not 0 < power < np.inf or not covariance.sum() < MAX_CANCELLED * power:
            return None
        loudest = covariance[np.argmax(np.diag(covariance))]
        signs = np.where(loudest < 0, -1, 1).astype(np.float32)
        return Mix(signs * signs[0])  # the polarity of the first channel


class MixingReader(Protocol):
    """Interface of a reader that mixes down as it is told."""

    channels: int
    notes: Notes

    def read_mixed(self, start: int, count: int, mix: Mix | None) -> Samples:
        """As `read`, the channels mixed by `mix`; by their mean if None."""


def read_in_phase(reader: MixingReader, start: int, count: int) -> Samples:
    """Read mono; what of the channels cancels in their mean is decoded a second time."""
    if reader.channels == 1:
        return reader.read_mixed(start, count, None)
    mix = Mix()
    mono = reader.read_mixed(start, count, mix)
    in_phase = mix.in_phase()
    if in_phase is None:
        return mono
    if IN_PHASE not in reader.notes:
        reader.notes = (*reader.notes, IN_PHASE)
    return reader.read_mixed(start, count, in_phase)
