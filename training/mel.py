"""The mel spectrogram of the CF estimator, as training computes it and as the graph carries it.

Two modules with one result: `MelSpectrogram` by torchaudio's FFT, quick on any training device,
and `ConvMelSpectrogram` by one strided convolution with the DFT basis, which every ONNX provider
runs (the STFT operator is four times slower and has no CUDA kernel).
"""

from __future__ import annotations

import math

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
    """Decibels below each clip's own peak, cut at -80: playback level leaves no trace.

    Parameters
    ----------
    power : float, shape (batch, n_mels, n_frames), ≥ 0

    Source: `amplitude_to_decibel` of Kapre, which the paper computes its spectrograms with.
    """
    decibels = 10 / math.log(10) * torch.log(power.clamp(min=AMIN))
    peak = decibels.amax(dim=(1, 2), keepdim=True)
    return (decibels - peak).clamp(min=-DYNAMIC_RANGE_DB)


class MelSpectrogram(nn.Module):
    """Waveform (batch, n_samples) -> decibels (batch, 1, 96, n_samples // 375)."""

    def __init__(self) -> None:
        super().__init__()
        self.power = torchaudio.transforms.MelSpectrogram(
            sample_rate=SAMPLE_RATE,
            n_fft=N_FFT,
            hop_length=HOP_LENGTH,
            n_mels=N_MELS,
            center=False,
            norm="slaney",
            mel_scale="slaney",
        )

    def forward(self, waveform: Tensor) -> Tensor:
        power = self.power(functional.pad(waveform, PADDING))  # (B, n) -> (B, M, T)
        return to_decibels(power).unsqueeze(1)


class ConvMelSpectrogram(nn.Module):
    """The same numbers as `MelSpectrogram`, without an FFT."""

    basis: Tensor
    mel: Tensor

    def __init__(self) -> None:
        super().__init__()
        reference = MelSpectrogram().power
        window = reference.spectrogram.window.double()
        angle = torch.arange(N_FFT // 2 + 1)[:, None] * torch.arange(N_FFT)[None, :]
        radians = angle.double() * (2 * math.pi / N_FFT)
        basis = torch.cat([radians.cos() * window, radians.sin() * window])
        self.register_buffer("basis", basis[:, None].float())  # (2 · bins, 1, n_fft)
        self.register_buffer(
            "mel", reference.mel_scale.fb.T.contiguous()[..., None]
        )  # (M, bins, 1)

    def forward(self, waveform: Tensor) -> Tensor:
        padded = functional.pad(waveform, PADDING).unsqueeze(1)
        spectrum = functional.conv1d(padded, self.basis, stride=HOP_LENGTH)  # (B, 2 · bins, T)
        bins = N_FFT // 2 + 1
        real, imaginary = spectrum[:, :bins], spectrum[:, bins:]
        power = functional.conv1d(real * real + imaginary * imaginary, self.mel)  # (B, M, T)
        return to_decibels(power).unsqueeze(1)
