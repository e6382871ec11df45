"""The encoder that an evaluation judges: a training run, or a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import Bundle, read
from models.card import AudioInput
from training.datasets.artist_key import artist_key
from training.errors import BadEncoder, HeardArtists, UnsplitTracks
from training.estimator.artist_split import load_split
from training.estimator.settings import TargetScale
from training.estimator.space import read_space
from training.estimator.train import load_network
from training.evaluation.sets import EvaluationSets
from training.networks.bundle_outputs import bundle_forward
from training.networks.inference import Forward, Track, run_over_rows, torch_forward

BATCH_SIZE = 8


@dataclass(frozen=True)
class Judged:
    """An encoder, and the split that says which artists it has not heard.

    Attributes
    ----------
    name : folder of the run, or name of the bundle
    space : CF space that it records; None of a run or bundle from before there was a record
    forward : waveforms -> outputs, the embedding first
    targets : scale of the item factors that it was trained on, and so of the baselines' targets
    """

    name: str
    audio: AudioInput
    forward: Forward
    embedding_dim: int
    targets: TargetScale
    split: pd.DataFrame
    space: str | None = None

    def embed(
        self, sets: EvaluationSets, positions: NDArray[np.int64], track: Track
    ) -> NDArray[np.float32]:
        """Embeddings of windows, or of their patches, shape (len(positions), embedding_dim).

        Raises
        ------
        OtherAudio
        """
        heard = sets.heard_as(self.audio, self.name)
        rows = heard.rows[positions]
        return run_over_rows(
            self.forward, heard.joined, rows, batch_size=BATCH_SIZE, label="network", track=track
        )[0]


def load_judged(run: Path | None, bundle: Path | None, split: Path | None) -> Judged:
    """A run, or else a bundle with its split; see `load_run` and `load_bundle`."""
    if run is not None:
        return load_run(run, split)
    if bundle is None or split is None:
        raise ValueError("an evaluation judges a run, or a bundle by a split")
    return load_bundle(bundle, split)


def load_run(run: Path, split: Path | None = None) -> Judged:
    """The best network of a training run.

    Parameters
    ----------
    split : file of `tasteprint-train split` for sets that the run's own split lacks; None for that

    Raises
    ------
    MissingInput, UnknownEncoder
    HeardArtists
        If the run was trained on artists that `split` holds out.
    """
    network, settings = load_network(run)
    own = load_split(run / "split.csv")
    if split is not None:
        require_unheard(run, own, load_split(split))
    return Judged(
        name=str(run),
        audio=network.audio,
        forward=torch_forward(network, network.make_front_end()),
        embedding_dim=network.embedding_dim,
        targets=settings.targets,
        split=own if split is None else load_split(split),
        space=read_space(run),
    )


def load_bundle(folder: Path, split: Path) -> Judged:
    """An encoder's bundle; no card says which artists it has heard, so the split must.

    Raises
    ------
    MissingInput, BundleError
    BadEncoder
        If it is no encoder.
    """
    bundle = read_encoder(folder)
    targets = bundle.card.provenance.hyperparameters.get("targets")
    return Judged(
        name=bundle.card.name,
        audio=bundle.card.audio,
        forward=bundle_forward(bundle, ["embedding"]),
        embedding_dim=bundle.card.output_shape("embedding")[0],
        targets="raw" if targets == "raw" else "unit",
        split=load_split(split),
        space=bundle.card.space,
    )


def read_encoder(folder: Path) -> Bundle:
    """A bundle that is an encoder.

    Raises
    ------
    BundleError, BadEncoder
    """
    bundle = read(folder)
    if bundle.card.kind != "encoder":
        raise BadEncoder(bundle.card.name, f"is a {bundle.card.kind}; give an encoder's bundle")
    return bundle


def join_parts(tracks: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Add the part of each track, and take the artist from the split.

    An item of several artists counts as one artist, the first in the order of keys, by which it was
    assigned to its part.

    Raises
    ------
    UnsplitTracks
    """
    known = split.drop_duplicates("track_id").set_index("track_id")
    missing = tracks.loc[~tracks["track_id"].isin(known.index), "track_id"]
    if len(missing):
        raise UnsplitTracks(len(missing), len(tracks), missing.iloc[0])
    first = split.groupby("item_id")["artist"].min()
    return tracks.assign(
        part=tracks["track_id"].map(known["part"]), artist=tracks["item_id"].map(first)
    )


def require_unheard(run: Path, own: pd.DataFrame, split: pd.DataFrame) -> None:
    heard = set(own.loc[own["part"] != "test", "artist"].map(artist_key))
    held_out = set(split.loc[split["part"] == "test", "artist"].map(artist_key))
    if both := sorted(heard & held_out):
        raise HeardArtists(run, len(both), both[0])
