"""Two prepared sets of noise whose loudness tells who listens, for the tiny encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from tests.training.networks.tiny_encoder import TinyEncoder
from training.audio.manifest import read_manifest
from training.audio.windows import prepare
from training.cf.als import Factorization
from training.cf.settings import AlsSettings
from training.datasets.artist_key import artist_key

N_FACTORS = 6
RATE = TinyEncoder.audio.sample_rate


def make_set(
    folder: Path, artists: dict[str, int], *, has_items: bool = True, seed: int = 0
) -> Path:
    """Prepare noise of 3 s, for each artist as many tracks as stated; an artist is an item.

    Returns
    -------
    The prepared folder.
    """
    audio = folder.with_name(f"{folder.name}-audio")
    audio.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for artist, n_tracks in artists.items():
        for number in range(n_tracks):
            track = f"{folder.name}-{artist}-{number}"
            noise = rng.uniform(-0.5, 0.5, 3 * RATE) * (0.05 if is_quiet(artist) else 1)
            soundfile.write(audio / f"{track}.wav", noise, RATE)
            rows.append((track, artist_key(artist) if has_items else "", artist))
    manifest = pd.DataFrame(rows, columns=["track_id", "item_id", "artist"])
    manifest.to_csv(audio / "tracks.csv", index=False)
    table = read_manifest(audio / "tracks.csv", audio, artist_column="artist")
    list(prepare(table, folder, TinyEncoder.audio))
    return folder


def is_quiet(artist: str) -> bool:
    return sum(artist_key(artist).encode()) % 2 == 1


def make_factors(artists: list[str]) -> Factorization:
    """Factors of the artists: one direction for the quiet ones, another for the loud ones."""
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(2, N_FACTORS))
    noise = 0.1 * rng.normal(size=(len(artists), N_FACTORS))
    factors = np.array([directions[int(is_quiet(artist))] for artist in artists]) + noise
    users = rng.normal(size=(5, N_FACTORS)).astype(np.float32)
    items = pd.Index([artist_key(artist) for artist in artists])
    names = pd.Index([f"u{number}" for number in range(5)])
    settings = AlsSettings(factors=N_FACTORS)
    return Factorization(factors.astype(np.float32), users, items, names, settings, {})
