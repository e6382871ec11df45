"""Small labelled tasks that the tests make, with real windows, and a teacher for them."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from models.bundle import Bundle
from training.datasets.prepared import TaskData, prepare_task
from training.datasets.task import Kind, Task
from training.export.bundle import make_provenance
from training.export.estimator import export_encoder
from training.networks.cf_estimator import CFEstimator
from training.transfer.encoder_outputs import gather_statistics

RATE = 16_000
LABELS = ("high", "low")


def make_task(folder: Path, kind: Kind = "classification", n_tracks: int = 16) -> TaskData:
    """High and low tones of one second by artists of two tracks each; targets are the pitch."""
    audio = folder / "audio"
    audio.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for index in range(n_tracks):
        label = LABELS[index // 2 % 2]
        hz = rng.uniform(2000, 3000) if label == "high" else rng.uniform(200, 300)
        path = audio / f"{index:03}.wav"
        tone = np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)
        soundfile.write(path, 0.4 * tone + rng.normal(0, 0.01, RATE), RATE)
        answer = {"label": label} if kind == "classification" else {"pitch": hz, "level": -hz}
        artist = f"artist {index // 2}"
        rows.append({"track_id": path.stem, "artist": artist, "path": str(path)} | answer)
    names = LABELS if kind == "classification" else ("pitch", "level")
    tracks = pd.DataFrame(rows)
    task = Task(f"tones-{kind}", "tones", kind, names, tracks, "five folds by artist", ())
    deque(prepare_task(task, folder / "prepared", CFEstimator.audio), maxlen=0)
    return TaskData.load(folder / "prepared")


def make_teacher(width: int = 32, seed: int = 0) -> CFEstimator:
    """An estimator with random weights that hears 7.5 s at a time."""
    torch.manual_seed(seed)
    network = CFEstimator(width, segment_frames=320)
    hz = torch.logspace(2.3, 3.5, 8)[:, None]
    tones = torch.sin(2 * torch.pi * hz * torch.arange(120_000) / RATE)
    gather_statistics(network, [tones])
    return network.eval()


def write_teacher(folder: Path, data: TaskData, space: str | None = None) -> Bundle:
    facts = make_provenance(
        method="untrained",
        data=(),
        seed=0,
        hyperparameters={"crop_s": 7.5},
        metrics={},
        split="none",
    )
    windows = data.prepared.waveforms(data.rows[:1])
    return export_encoder(make_teacher(), folder, windows, facts, space=space)[0]
