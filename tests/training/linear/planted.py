"""Planted data: encoder outputs from which a linear map gives the item factors, and listeners."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from training.cf.als import Factorization
from training.cf.logs import Logs
from training.cf.settings import AlsSettings
from training.linear.alpha import Audience
from training.linear.clips import LabelledClips

N_IN, DIM, N_USERS, N_LISTENERS = 12, 4, 80, 10


def plant(
    seed: int = 0, n_artists: int = 40, *, name: str = "a", offset: float = 0.0, noise: float = 0.1
) -> LabelledClips:
    """Two clips an artist; the targets are a random linear map of the artist's sound.

    Parameters
    ----------
    name : of the set, and before its artists' names
    offset : of the inputs: sets of different offsets sound different
    noise : deviation of a clip's inputs from its artist's sound
    """
    rng = np.random.default_rng(seed)
    sounds = rng.normal(size=(n_artists, N_IN))
    targets = sounds @ rng.normal(size=(N_IN, DIM))
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    inputs = np.repeat(sounds, 2, 0) + noise * rng.normal(size=(2 * n_artists, N_IN)) + offset
    artists = np.repeat([f"{name}{index:02}" for index in range(n_artists)], 2)
    tracks = pd.DataFrame(
        {
            "track_id": [f"{artist}-{index % 2}" for index, artist in enumerate(artists)],
            "item_id": artists,
            "artist": artists,
            "set": name,
        }
    )
    return LabelledClips(
        inputs.astype(np.float32), np.repeat(targets, 2, 0).astype(np.float32), tracks
    )


def join(*parts: LabelledClips) -> LabelledClips:
    return LabelledClips(
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.targets for part in parts]),
        pd.concat([part.tracks for part in parts], ignore_index=True),
    )


def audience_of(clips: LabelledClips, seed: int = 0) -> Audience:
    """Users who listen to the items whose factors are nearest to their own."""
    items, first = np.unique(clips.tracks["item_id"].to_numpy(str), return_index=True)
    item_factors = clips.targets[first]
    user_factors = np.random.default_rng(seed).normal(size=(N_USERS, DIM)).astype(np.float32)
    nearest = np.argsort(-user_factors @ item_factors.T, axis=0)[:N_LISTENERS]
    user_items = np.zeros((N_USERS, len(items)), np.float32)
    np.put_along_axis(user_items, nearest, 1, 0)
    users = pd.Index([f"u{index}" for index in range(N_USERS)])
    logs = Logs(sparse.csr_matrix(user_items), users, pd.Index(items), {})
    settings = AlsSettings(factors=DIM)
    factors = Factorization(item_factors, user_factors, logs.items, users, settings, {})
    return Audience(logs, factors, min_listeners=1)


def mean_cosine(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / lengths).mean())
