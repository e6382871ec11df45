"""Mel spectrograms: by torchaudio's FFT for training, and by matrix products for export.

For the CF estimator there are two modules with the same result: `MelSpectrogram`, fast on any
training device, and `FoldedMelSpectrogram`, which every ONNX provider runs (the STFT operator takes
three times as long and has no CUDA kernel). Both ignore a constant offset (DC) of the waveform.
`FoldedMel` is the matrix product for any rate, frame and number of bands.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

SAMPLE_RATE = 16_000
N_FFT = 512
HOP_LENGTH = 375
N_MELS = 96
# 'same' padding: n_samples / hop_length frames, 1280 of a 30 s window.
PADDING = ((N_FFT - HOP_LENGTH) // 2, (N_FFT - HOP_LENGTH + 1) // 2)
AMIN = 1e-10
DYNAMIC_RANGE_DB = 80.0


def to_decibels(power: Tensor) -> Tensor:
    """Decibels below the peak of each clip, clipped at -80: invariant to playback level.

    Parameters
    ----------
    power : float, shape (batch, n_mels, n_frames), ≥ 0

    Source: `amplitude_to_decibel` of Kapre, the library of the paper's spectrograms.
    """
    decibels = 10 / math.log(10) * torch.log(power.clamp(min=AMIN))
    peak = decibels.amax(dim=(1, 2), keepdim=True)
    return (decibels - peak).clamp(min=-DYNAMIC_RANGE_DB)


def mel_transform(
    sample_rate: int, n_fft: int, hop_length: int, n_mels: int, exponent: float = 2.0
) -> nn.Module:
    """Mel spectrogram of whole frames by an FFT, librosa's scale: (batch, n) -> (batch, n_mels, T).

    Parameters
    ----------
    exponent : of the magnitudes before the filters: 2 for power, 1 for magnitude
    """
    transform: nn.Module = torchaudio.transforms.MelSpectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        n_mels=n_mels,
        power=exponent,
        center=False,
        norm="slaney",
        mel_scale="slaney",
    )
    return transform


class MelSpectrogram(nn.Module):
    """Mel spectrogram: waveform (batch, n_samples) -> decibels (batch, 1, 96, n_samples // 375)."""

    def __init__(self, sample_rate: int = SAMPLE_RATE) -> None:
        super().__init__()
        self.power = mel_transform(sample_rate, N_FFT, HOP_LENGTH, N_MELS)

    def forward(self, waveform: Tensor) -> Tensor:
        padded = functional.pad(remove_dc(waveform), PADDING)
        return to_decibels(self.power(padded)).unsqueeze(1)  # (B, n) -> (B, M, T) -> (B, 1, M, T)


def remove_dc(waveform: Tensor) -> Tensor:
    """Subtract the mean of each waveform, shape (batch, n_samples): an inaudible offset."""
    return waveform - waveform.mean(1, keepdim=True)


class FoldedMel(nn.Module):
    """Mel spectrum of frames by a folded DFT matrix, without an FFT.

    Frames and the sample after each, (batch, T, n_fft + 1) -> (batch, T, n_mels). Over a frame
    cosines are even and sines are odd, so the two halves of the frame are folded onto each other
    before the product. Within a half, both are even or odd by turns from bin to bin, so the half is
    folded once more. A frame then takes a quarter of the multiplications.

    Parameters
    ----------
    n_fft : length of a frame, a multiple of 4
    magnitude : filter the magnitudes, not the power
    """

    window: Tensor
    even_cosines: Tensor
    even_sines: Tensor
    odd_cosines: Tensor
    odd_sines: Tensor
    even_filters: Tensor
    odd_filters: Tensor

    def __init__(
        self,
        sample_rate: int = SAMPLE_RATE,
        n_fft: int = N_FFT,
        n_mels: int = N_MELS,
        *,
        magnitude: bool = False,
    ) -> None:
        super().__init__()
        self.magnitude = magnitude
        half, quarter = n_fft // 2, n_fft // 4
        reference: Any = mel_transform(sample_rate, n_fft, half, n_mels)
        window = reference.spectrogram.window[: half + 1].double()
        angle = torch.arange(quarter + 1)[:, None] * torch.arange(half + 1)[None, :]
        radians = angle.double() * (2 * math.pi / n_fft)
        cosines, sines = radians.cos(), radians.sin()  # (quarter + 1, bins)
        for table in (window, cosines, sines):
            table[-1] /= 2  # the middle sample is folded onto itself, so it counts twice
        filters = reference.mel_scale.fb  # (bins, M)
        tables = {"cosines": cosines, "sines": sines, "filters": filters.T}
        self.register_buffer("window", window.float())
        for name, table in tables.items():
            self.register_buffer(f"even_{name}", table[:, ::2].float().contiguous())
            self.register_buffer(f"odd_{name}", table[:, 1::2].float().contiguous())

    def forward(self, frames: Tensor) -> Tensor:
        first, last = fold(frames)  # (B, T, n_fft + 1) -> (B, T, half + 1)
        first, last = first * self.window, last * self.window
        sum_first, sum_last = fold(first + last)  # (B, T, half + 1) -> (B, T, quarter + 1)
        diff_first, diff_last = fold(first - last)
        even = power(
            (sum_first + sum_last) @ self.even_cosines,
            (diff_first - diff_last) @ self.even_sines,
        )
        odd = power(
            (sum_first - sum_last) @ self.odd_cosines,
            (diff_first + diff_last) @ self.odd_sines,
        )
        if self.magnitude:
            even, odd = even.sqrt(), odd.sqrt()
        mel: Tensor = even @ self.even_filters.T + odd @ self.odd_filters.T
        return mel


class FoldedMelSpectrogram(FoldedMel):
    """The same numbers as `MelSpectrogram`: (batch, n_samples) -> (batch, 1, 96, T)."""

    def forward(self, waveform: Tensor) -> Tensor:
        n_samples = waveform.shape[1]
        n_frames, before = n_samples // HOP_LENGTH, PADDING[0]
        after = (n_frames + 1) * HOP_LENGTH - before - n_samples
        padded = functional.pad(remove_dc(waveform), (before, after))
        mel = super().forward(cut_frames(padded, n_frames, HOP_LENGTH, N_FFT))
        return to_decibels(mel.transpose(1, 2)).unsqueeze(1)


def cut_frames(padded: Tensor, n_frames: int, hop_length: int, n_fft: int) -> Tensor:
    """Frames and the sample after each: (B, n) -> (B, n_frames, n_fft + 1).

    Cut from rows of one hop each: a frame is the beginnings of the rows from its first one on.

    Parameters
    ----------
    padded : waveform from the first frame's start to the last row's end at least; a last sample
        that is missing may be anything, since the window is 0 there
    """
    n_more = n_fft // hop_length  # rows of a frame after its first one
    n_rows = n_frames + n_more
    missing = n_rows * hop_length - padded.shape[1]
    rows = functional.pad(padded, (0, missing)).reshape(-1, n_rows, hop_length)
    parts = [rows[:, index : index + n_frames] for index in range(n_more)]
    rest = n_fft + 1 - n_more * hop_length
    return torch.cat([*parts, rows[:, n_more : n_more + n_frames, :rest]], 2)


def fold(x: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves, the second reversed, both with the middle: (…, 2 n + 1) -> 2 × (…, n + 1)."""
    middle = x.shape[-1] // 2
    return x[..., : middle + 1], x[..., middle:].flip(-1)


def power(real: Tensor, imaginary: Tensor) -> Tensor:
    return real * real + imaginary * imaginary
