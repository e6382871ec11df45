"""What a network has to beat: ridge regression on statistics of the mel spectrogram."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.files import write_atomically
from training.audio.windows import Prepared
from training.networks.mel import MelSpectrogram

# Wraps a list to show progress over it, under a label.
Track = Callable[[str, list[int]], Iterable[int]]
BATCH = 16
ALPHAS = np.logspace(0, 5, 11)


def mel_statistics(prepared: Prepared, folder: Path, track: Track) -> NDArray[np.float32]:
    """Mean, spread and movement of each mel band in decibels, shape (n_rows, 3 · 96).

    Kept in `folder`, since they take a minute for some thousand windows.

    Parameters
    ----------
    track : wraps the list of batches to show progress over it
    """
    path = folder / "mel_statistics.npy"
    if path.exists() and path.stat().st_mtime > (folder / "tracks.csv").stat().st_mtime:
        return np.asarray(np.load(path))
    mel = MelSpectrogram()
    parts = []
    with torch.no_grad():
        for start in track("mel statistics", list(range(0, len(prepared.windows), BATCH))):
            rows = np.arange(start, min(start + BATCH, len(prepared.windows)))
            decibels = mel(torch.from_numpy(prepared.waveforms(rows))).squeeze(1)  # (B, M, T)
            movement = decibels.diff(dim=2).abs().mean(2)
            parts.append(torch.cat([decibels.mean(2), decibels.std(2), movement], 1).numpy())
    statistics = np.concatenate(parts)
    with write_atomically(path) as part, part.open("wb") as file:
        np.save(file, statistics)
    return statistics


def predict_by_ridge(
    train_x: NDArray[np.float32], train_y: NDArray[np.float32], test_x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Fit on (n, 288) -> (n, 40), its penalty chosen by leave-one-out; predict (m, 40)."""
    model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS))
    return np.asarray(model.fit(train_x, train_y).predict(test_x), np.float32)
