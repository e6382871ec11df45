"""One spectrogram, two ways to compute it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.networks.mel import HOP_LENGTH, SAMPLE_RATE, FoldedMelSpectrogram, MelSpectrogram

SECONDS = torch.arange(30 * SAMPLE_RATE) / SAMPLE_RATE


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    noise = torch.randn(480_000, generator=torch.Generator().manual_seed(0))
    tone = torch.sin(2 * torch.pi * 1000 * SECONDS)
    return torch.stack([0.1 * noise, 0.5 * tone, 0.5 * tone * (SECONDS < 3)])


def test_thirty_seconds_are_1280_frames_of_96_bands(clips: torch.Tensor) -> None:
    assert MelSpectrogram()(clips).shape == (3, 1, 96, 1280)


def test_the_exported_spectrogram_is_the_trained_one(clips: torch.Tensor) -> None:
    difference = (MelSpectrogram()(clips) - FoldedMelSpectrogram()(clips)).abs().max()
    # Decibels near the floor of a pure tone magnify float32 rounding.
    assert difference < 2e-2
    difference = (MelSpectrogram()(clips[:1]) - FoldedMelSpectrogram()(clips[:1])).abs().max()
    assert difference < 1e-3


def test_a_tone_is_in_its_band(clips: torch.Tensor) -> None:
    torchaudio = pytest.importorskip("torchaudio")
    decibels = MelSpectrogram()(clips[1:2])[0, 0]
    filters = torchaudio.functional.melscale_fbanks(
        257, 0, SAMPLE_RATE / 2, 96, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    assert int(decibels.mean(1).argmax()) == int(filters[1000 * 512 // SAMPLE_RATE].argmax())


def test_level_leaves_no_trace_and_the_range_is_80_db(clips: torch.Tensor) -> None:
    loud, quiet = MelSpectrogram()(clips), MelSpectrogram()(clips / 100)
    torch.testing.assert_close(loud, quiet, atol=1e-2, rtol=0)
    assert loud.max() == 0
    assert loud.min() == -80


def test_a_frame_hears_its_place(clips: torch.Tensor) -> None:
    gated = MelSpectrogram()(clips[2:3])[0, 0].amax(0)
    edge = 3 * SAMPLE_RATE // HOP_LENGTH
    assert (gated[: edge - 1] > -20).all()
    assert np.all(gated[edge + 2 :].numpy() == -80)


@pytest.mark.parametrize("front_end", [MelSpectrogram, FoldedMelSpectrogram])
def test_an_offset_leaves_no_trace(clips: torch.Tensor, front_end: type[torch.nn.Module]) -> None:
    mel, noise = front_end(), clips[:1]
    torch.testing.assert_close(mel(noise), mel(noise + 0.2), atol=1e-2, rtol=0)
