"""Statistics of the mel spectrogram: what the baselines hear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.atomic_write import write_atomically
from training.audio.windows import Prepared
from training.networks.inference import Track, run_over_rows
from training.networks.mel import MelSpectrogram

BATCH_SIZE = 16
ALPHAS = np.logspace(0, 5, 11)


def mel_statistics(prepared: Prepared, folder: Path, track: Track) -> NDArray[np.float32]:
    """Mean, standard deviation and mean absolute difference in time of each mel band in decibels.

    Cached in `folder`, since some thousand windows take a minute.

    Parameters
    ----------
    track : shows progress over the batches

    Returns
    -------
    float32, shape (n_rows, 3 · 96)
    """
    path = folder / "mel_statistics.npy"
    if path.exists() and path.stat().st_mtime > (folder / "tracks.csv").stat().st_mtime:
        return np.asarray(np.load(path))
    mel = MelSpectrogram(prepared.audio.sample_rate)

    def statistics_of(waveforms: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with torch.inference_mode():
            decibels = mel(torch.from_numpy(waveforms)).squeeze(1)  # (B, 1, M, T) -> (B, M, T)
            change = decibels.diff(dim=2).abs().mean(2)
            return [torch.cat([decibels.mean(2), decibels.std(2), change], 1).numpy()]

    (statistics,) = run_over_rows(
        statistics_of,
        prepared,
        np.arange(len(prepared.windows)),
        batch_size=BATCH_SIZE,
        label="mel statistics",
        track=track,
    )
    with write_atomically(path) as part, part.open("wb") as file:
        np.save(file, statistics)
    return statistics
