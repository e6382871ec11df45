"""Songs whose timbre follows a planted taste, and users who play what is near to their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from training.cli.main import app

RATE = 16_000
Sound = NDArray[np.float64]


@dataclass(frozen=True)
class Collection:
    """A user's folder.

    Attributes
    ----------
    tastes : place of each song between dull and bright, and between steady and beating, (n, 2)
    """

    folder: Path
    tastes: Sound

    @property
    def songs(self) -> Path:
        return self.folder / "songs"

    @property
    def plays(self) -> Path:
        return self.folder / "plays.csv"

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue.csv"


def sing(taste: Sound, rng: np.random.Generator, seconds: float = 3.0) -> Sound:
    """Noise below a frequency and a chord on it, beating as often as the taste says."""
    n = int(seconds * RATE)
    limit, beats = 300 * 20 ** taste[0], 1 + 9 * taste[1]
    time = np.arange(n) / RATE
    spectrum = np.fft.rfft(rng.normal(size=n)) * (np.fft.rfftfreq(n, 1 / RATE) < limit)
    chord = sum(np.sin(2 * np.pi * limit / 4 * ratio * time) for ratio in (1, 1.25, 1.5))
    beating = 0.6 + 0.4 * np.sign(np.sin(2 * np.pi * beats * time)) * taste[1]
    sound = (np.fft.irfft(spectrum, n) + 0.3 * chord) * beating
    return np.asarray(0.5 * sound / np.abs(sound).max())


def make_collection(
    folder: Path,
    *,
    n_songs: int = 40,
    n_users: int = 300,
    n_silent: int = 75,
    plays_per_user: int = 8,
    follows_taste: bool = True,
    seed: int = 0,
) -> Collection:
    """Two songs of an artist, and users who play the songs nearest to their own taste.

    Parameters
    ----------
    n_silent : items that are played, and that there is no audio of
    follows_taste : if not, users play at random, and the sound tells nothing
    """
    rng = np.random.default_rng(seed)
    (folder / "songs").mkdir(parents=True)
    of_artist = rng.uniform(size=((n_songs + n_silent + 1) // 2, 2))
    tastes = np.repeat(of_artist, 2, 0)[: n_songs + n_silent]
    tastes = np.clip(tastes + 0.05 * rng.normal(size=tastes.shape), 0, 1)
    names = [f"song-{index:04}" for index in range(len(tastes))]
    for name, taste in zip(names[:n_songs], tastes, strict=False):
        soundfile.write(folder / "songs" / f"{name}.wav", sing(taste, rng), RATE)
    rows = []
    for user in range(n_users):
        own = rng.uniform(size=2)
        distance = np.linalg.norm(tastes - own, axis=1) + 0.1 * rng.normal(size=len(tastes))
        if not follows_taste:
            distance = rng.uniform(size=len(tastes))
        for item in np.argsort(distance)[:plays_per_user]:
            rows.append((f"user {user}", names[item], int(rng.integers(1, 9))))
    plays = pd.DataFrame(rows, columns=["User ID", "song_id", "plays"])
    plays.to_csv(folder / "plays.csv", index=False)
    artists = [f"artist {index // 2}" for index in range(len(names))]
    catalogue = pd.DataFrame({"song_id": names, "artist": artists, "title": names})
    catalogue.to_csv(folder / "catalogue.csv", index=False)
    return Collection(folder, tastes)


def start_mine(made: Collection, *options: object) -> Result:
    """`tasteprint-train mine` of a collection, with its bundles and its run beside it."""
    inputs = ("--songs", made.songs, "--plays", made.plays, "--catalogue", made.catalogue)
    places = ("--models", made.folder / "models", "--work", made.folder / "work")
    words = ["mine", *map(str, (*inputs, *places, *options))]
    return CliRunner().invoke(app, words, env={"COLUMNS": "200"})
