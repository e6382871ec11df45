"""Tables of clips of random artists and albums, and clips whose artists are told by their tones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.card import AudioInput
from training.audio.decoding import FULL_SCALE
from training.audio.windows import Prepared
from training.networks.siamese import SiameseCNN

WHOLE = SiameseCNN.audio.model_copy(update={"patches": None})


def make_table(
    artists: list[int], albums: list[int] | None = None, titles: list[int] | None = None
) -> pd.DataFrame:
    """One track per artist number; albums and titles are numbers too, negative ones unknown."""
    return pd.DataFrame(
        {
            "track_id": [f"track {number}" for number in range(len(artists))],
            "item_id": [str(artist) for artist in artists],
            "row": np.arange(len(artists)),
            "artist": [f"The Artist {artist}" for artist in artists],
            "album": ["" if album < 0 else f"Album {album}" for album in albums or []]
            or [""] * len(artists),
            "title": ["" if title < 0 else f"Title {title}" for title in titles or []]
            or [""] * len(artists),
        }
    )


def make_tones(n_artists: int, n_clips: int, audio: AudioInput = WHOLE) -> Prepared:
    """Windows of a tone in noise: its pitch is the artist's, its loudness the album's (two each).

    A clip is a little out of tune of its own.
    """
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(n_artists), n_clips)
    albums = np.tile(np.arange(n_clips) % 2, n_artists)
    hertz = 150 * 1.5 ** (artists % 10) * (1 + 0.02 * rng.uniform(-1, 1, len(artists)))
    seconds = np.arange(audio.window_samples) / audio.sample_rate
    windows = np.empty((len(artists), audio.window_samples), np.int16)
    for window, pitch, album in zip(windows, hertz, albums, strict=True):
        tone = (0.1 + 0.5 * album) * np.sin(2 * np.pi * pitch * seconds)
        noise = 0.01 * rng.standard_normal(len(seconds))
        window[:] = np.rint(np.clip(tone + noise, -1, 1) * FULL_SCALE)
    tracks = make_table(artists.tolist(), albums.tolist()).assign(duration_s=audio.window_s)
    return Prepared(windows, tracks, audio)
