"""The mel spectrogram of the CF estimator, as training computes it and as the graph carries it.

Two modules with one result: `MelSpectrogram` by torchaudio's FFT, quick on any training device,
and `FoldedMelSpectrogram` by matrix products, which every ONNX provider runs (the STFT operator
takes three times as long and has no CUDA kernel).
"""

from __future__ import annotations

import math

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

from models.card import AudioInput

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


class FoldedMelSpectrogram(nn.Module):
    """The same numbers as `MelSpectrogram`, without an FFT.

    A DFT as a matrix, its symmetries taken out first: a cosine is the same in both halves of a
    frame, a sine the opposite; and within a half it is one or the other by turns, from bin to bin.
    Folded on both, a frame takes a quarter of the multiplications.
    """

    window: Tensor
    even_cosines: Tensor
    even_sines: Tensor
    odd_cosines: Tensor
    odd_sines: Tensor
    even_filters: Tensor
    odd_filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        half, quarter = N_FFT // 2, N_FFT // 4
        reference = MelSpectrogram().power
        window = reference.spectrogram.window[: half + 1].double()
        angle = torch.arange(quarter + 1)[:, None] * torch.arange(half + 1)[None, :]
        radians = angle.double() * (2 * math.pi / N_FFT)
        cosines, sines = radians.cos(), radians.sin()  # (quarter + 1, bins)
        for each in (window, cosines, sines):
            each[-1] /= 2  # what is folded there is on itself, and counts twice
        filters = reference.mel_scale.fb  # (bins, M)
        tables = {"cosines": cosines, "sines": sines, "filters": filters.T}
        self.register_buffer("window", window.float())
        for name, table in tables.items():
            self.register_buffer(f"even_{name}", table[:, ::2].float().contiguous())
            self.register_buffer(f"odd_{name}", table[:, 1::2].float().contiguous())

    def forward(self, waveform: Tensor) -> Tensor:
        near, far = fold(frames(waveform))  # (B, n) -> (B, T, half + 1)
        near, far = near * self.window, far * self.window
        same_near, same_far = fold(near + far)  # (B, T, quarter + 1)
        opposite_near, opposite_far = fold(near - far)
        even = power(
            (same_near + same_far) @ self.even_cosines,
            (opposite_near - opposite_far) @ self.even_sines,
        )
        odd = power(
            (same_near - same_far) @ self.odd_cosines,
            (opposite_near + opposite_far) @ self.odd_sines,
        )
        mel = even @ self.even_filters.T + odd @ self.odd_filters.T
        return to_decibels(mel.transpose(1, 2)).unsqueeze(1)


def frames(waveform: Tensor) -> Tensor:
    """(B, n) -> (B, n // 375, 513): each frame of the window's 512 samples and the one after it.

    Cut out of rows of one hop each, a frame is a row and the beginning of the next.
    """
    n_samples = waveform.shape[1]
    n_frames = n_samples // HOP_LENGTH
    before = PADDING[0]
    after = (n_frames + 1) * HOP_LENGTH - before - n_samples
    rows = functional.pad(waveform, (before, after)).reshape(-1, n_frames + 1, HOP_LENGTH)
    return torch.cat([rows[:, :-1], rows[:, 1:, : N_FFT + 1 - HOP_LENGTH]], 2)


def fold(x: Tensor) -> tuple[Tensor, Tensor]:
    """(…, 2 n + 1) -> twice (…, n + 1): up to the middle, and from the end back to it."""
    middle = x.shape[-1] // 2
    return x[..., : middle + 1], x[..., middle:].flip(-1)


def power(real: Tensor, imaginary: Tensor) -> Tensor:
    return real * real + imaginary * imaginary


WINDOW = AudioInput(sample_rate=SAMPLE_RATE, window_s=30.0, short_audio="repeat", min_audio_s=0.5)
