"""Prepared sets and logs of artists whose taste is in the audio and in who listens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from models.card import AudioInput
from tests.bundles import AUDIO, DIM
from training.audio.decoding import FULL_SCALE
from training.audio.windows import Prepared
from training.cf.als import Factorization, factorize
from training.cf.logs import Logs
from training.cf.settings import AlsSettings
from training.estimator.artist_split import items_of, split_by_artist
from training.evaluation.judged import Judged

QUARTERS, N_USERS = 4, 150
ARTISTS = {"recordings": range(70), "renderings": range(40, 130)}
CLIPS = {"recordings": 2, "renderings": 3}


@dataclass(frozen=True)
class World:
    """Two prepared sets that share some artists, the logs, and factors without the test items."""

    folders: list[Path]
    split: pd.DataFrame
    logs: Logs
    factors: Factorization
    factors_dir: Path

    def judged(self) -> Judged:
        """A linear map of the levels of a window's quarters, learnt on the training part."""
        prepared = [Prepared.load(folder) for folder in self.folders]
        levels = np.concatenate(
            [levels_of(part.waveforms(np.arange(len(part.windows)))) for part in prepared]
        )
        tracks = pd.concat([part.tracks for part in prepared])
        position = self.factors.items.get_indexer(tracks["item_id"])
        targets = self.factors.item_factors[position[position >= 0]]
        inputs = with_constant(levels)
        weights, *_ = np.linalg.lstsq(inputs[position >= 0], targets, rcond=None)

        def forward(waveforms: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            return [np.asarray(with_constant(levels_of(waveforms)) @ weights, np.float32)]

        return Judged("linear", AUDIO, forward, DIM, "unit", self.split, self.factors.space)


def levels_of(waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean level of each quarter of the windows, shape (n, 4)."""
    quarters = abs(waveforms).reshape(len(waveforms), QUARTERS, -1)  # (n, S) -> (n, 4, S / 4)
    return np.asarray(quarters.mean(2), np.float32)


def with_constant(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([levels, np.ones((len(levels), 1), np.float32)], 1)


def write_prepared(
    folder: Path, tracks: pd.DataFrame, windows: NDArray[np.float32], audio: AudioInput = AUDIO
) -> Path:
    """What `prepare` writes, of windows that are made and not decoded."""
    folder.mkdir(parents=True)
    np.save(folder / "windows.npy", np.rint(windows * FULL_SCALE).astype(np.int16))
    tracks.to_csv(folder / "manifest.csv", index=False)
    written = tracks.assign(row=np.arange(len(tracks)), duration_s=audio.window_s)
    written.to_csv(folder / "tracks.csv", index=False)
    source = {"manifest_sha256": "", "audio": audio.model_dump(mode="json")}
    (folder / "source.json").write_text(json.dumps(source))
    return folder


def make_windows(levels: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise whose quarters have these levels, shape (n, 8000)."""
    noise = rng.uniform(-1, 1, (len(levels), QUARTERS, AUDIO.window_samples // QUARTERS))
    return np.asarray((noise * levels[:, :, None]).reshape(len(levels), -1), np.float32)


def make_world(folder: Path) -> World:
    rng = np.random.default_rng(0)
    tastes = rng.normal(size=(130, QUARTERS))
    folders, manifests = [], []
    for name, artists in ARTISTS.items():
        clips = np.repeat(artists, CLIPS[name])
        tracks = pd.DataFrame(
            {
                "track_id": [f"{name}-{index}" for index in range(len(clips))],
                "item_id": [f"i{artist:03}" for artist in clips],
                "artist": [f"artist {artist}" for artist in clips],
            }
        )
        heard = tastes[clips] + 0.5 * rng.normal(size=(len(clips), QUARTERS))
        levels = 0.5 / (1 + np.exp(-heard))
        folders.append(write_prepared(folder / name, tracks, make_windows(levels, rng)))
        manifests.append(tracks)
    split = split_by_artist(pd.concat(manifests))
    listens = tastes @ rng.normal(size=(QUARTERS, N_USERS)) > 2.5
    logs = Logs(
        sparse.csr_matrix(listens.astype(np.float32).T),
        pd.Index([f"u{user}" for user in range(N_USERS)]),
        pd.Index([f"i{artist:03}" for artist in range(130)]),
        {},
    )
    known = ~logs.items.isin(items_of(split, ["test"]))
    fitted = Logs(logs.user_items[:, known], logs.users, logs.items[known], {})
    factors = factorize(fitted, AlsSettings(factors=DIM, regularization=1), check=False)
    factors.save(folder / "factors")
    return World(folders, split, logs, factors, folder / "factors")
