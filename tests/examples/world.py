"""A small world with planted taste: genres, users who like some, and an encoder that hears them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper
from scipy import sparse

from models.bundle import write
from models.card import Card
from tests.bundles import AUDIO, OPSET, write_bundle
from tests.sounds import write as write_audio
from training.cf.als import Factorization, factorize
from training.cf.logs import Logs
from training.cf.settings import AlsSettings

N_GENRES, N_USERS, N_ARTISTS, N_HELD_OUT = 6, 240, 300, 12
DIM = 8
LIKED_ARTISTS = 40.0


@dataclass(frozen=True)
class World:
    """Users, artists and who listens to whom; the last artists are held out of the factorisation.

    Attributes
    ----------
    tastes : (n_users, n_genres) and
    genres : (n_artists, n_genres): shares
    listens : bool, (n_users, n_artists)
    """

    tastes: NDArray[np.float64]
    genres: NDArray[np.float64]
    listens: NDArray[np.bool_]

    @classmethod
    def plant(cls, seed: int = 0) -> World:
        rng = np.random.default_rng(seed)
        tastes = rng.dirichlet(np.full(N_GENRES, 0.15), N_USERS)
        genres = rng.dirichlet(np.full(N_GENRES, 0.15), N_ARTISTS)
        likes = tastes @ genres.T
        chances = np.minimum(likes / likes.sum(1, keepdims=True) * LIKED_ARTISTS, 1)
        return cls(tastes, genres, rng.random(likes.shape) < chances)

    @cached_property
    def factorization(self) -> Factorization:
        """ALS of the artists that are not held out."""
        known = self.listens[:, :-N_HELD_OUT].astype(np.float32)
        users = pd.Index([f"user-{number}" for number in range(N_USERS)])
        items = pd.Index([f"artist-{number}" for number in range(known.shape[1])])
        settings = AlsSettings(factors=DIM, regularization=5.0, iterations=8)
        return factorize(Logs(sparse.csr_matrix(known), users, items, {}), settings, check=False)

    @property
    def held_out(self) -> list[int]:
        return list(range(N_ARTISTS - N_HELD_OUT, N_ARTISTS))

    def listeners(self, artist: int) -> list[str]:
        return [f"user-{number}" for number in np.flatnonzero(self.listens[:, artist])]

    def heard(self) -> NDArray[np.float32]:
        """What the encoder makes of each genre alone: the mean factor of its artists."""
        factors = self.factorization.item_factors
        weights = self.genres[:-N_HELD_OUT]
        means = (weights / weights.sum(0)).T @ factors
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

    def song(self, path: Path, artist: int) -> bytes:
        """A WAV that is as loud in each sixth of the window as the artist has of the genre."""
        n = AUDIO.input_samples
        noise = np.random.default_rng(artist).uniform(-1, 1, n)
        gains = 0.02 + 0.9 * self.genres[artist]
        sound = noise * np.repeat(gains, -(-n // N_GENRES))[:n]
        return write_audio(path, sound[:, None].astype(np.float32), AUDIO.sample_rate).read_bytes()

    def write_encoder(self, folder: Path, name: str = "planted") -> None:
        """A bundle in the space of the factorisation: level of each sixth · `heard`."""
        bundle = write_bundle(folder, name)  # for its card
        content = _graph_bytes(self.heard())
        dims = {"embedding": DIM, "features": N_GENRES}
        card = bundle.card.model_dump(mode="json") | {"space": self.factorization.space}
        for output in card["outputs"]:
            output["shape"] = [dims[output["name"]]]
        card["graphs"][0]["sha256"] = sha256(content).hexdigest()
        write(folder / name, Card.model_validate(card), {"model.onnx": content})


def _graph_bytes(heard: NDArray[np.float32]) -> bytes:
    """waveform -> mean absolute value of each sixth (features) -> · heard (embedding)."""
    n = AUDIO.input_samples // N_GENRES
    constants: dict[str, NDArray[Any]] = {
        "start": np.array([0], np.int64),
        "end": np.array([n * N_GENRES], np.int64),
        "axis": np.array([1], np.int64),
        "shape": np.array([-1, N_GENRES, n], np.int64),
        "last": np.array([2], np.int64),
        "heard": heard,
    }
    nodes = [
        helper.make_node("Abs", ["waveform"], ["level"]),
        helper.make_node("Slice", ["level", "start", "end", "axis"], ["whole"]),
        helper.make_node("Reshape", ["whole", "shape"], ["parts"]),
        helper.make_node("ReduceMean", ["parts", "last"], ["features"], keepdims=0),
        helper.make_node("MatMul", ["features", "heard"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "planted",
        [_value("waveform", AUDIO.input_samples)],
        [_value("embedding", DIM), _value("features", N_GENRES)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _value(name: str, size: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
