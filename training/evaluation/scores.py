"""Scores of every method on one group of held-out clips, as an evaluation keeps them on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.cf.als import Factorization
from training.errors import MissingInput
from training.evaluation.baselines import shuffle_items
from training.evaluation.listener_similarity import (
    embedding_cosines,
    listener_cosines,
    mean_of_artists,
)
from training.evaluation.methods import Method
from training.evaluation.names import CEILING, NETWORK, SHUFFLED
from training.evaluation.ranking_metrics import (
    HeldOut,
    clip_measures,
    recommendation_measures,
    users_of,
)

K = 10  # of recall@k and nDCG@k
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Scores of one fold's held-out clips of one group.

    Attributes
    ----------
    artists : (n_clips,), key of the artist of each clip
    users : (n_users,), id of each user of `by_user`
    listeners : (n_pairs,), cosine of the listeners of each pair of artists, these sorted by key
    n_items : of the clips
    by_clip, by_user : method → measure → (n_clips,) or (n_users,); of methods in the CF space alone
    by_pair : method → (n_pairs,), cosine of the embeddings of each pair of artists
    """

    artists: NDArray[np.str_]
    users: NDArray[np.str_]
    listeners: Values
    n_items: int
    by_clip: dict[str, dict[str, Values]]
    by_user: dict[str, dict[str, Values]]
    by_pair: dict[str, Values]

    @property
    def n_artists(self) -> int:
        return len(np.unique(self.artists))

    def save(self, path: Path) -> None:
        """Write a `.npz`, with a key such as `by_clip/network/user_auc` for each array."""
        arrays: dict[str, NDArray[np.generic]] = {
            "artists": self.artists,
            "users": self.users,
            "listeners": self.listeners,
            "n_items": np.array(self.n_items),
        }
        for name in ("by_clip", "by_user"):
            for method, measures in getattr(self, name).items():
                for measure, values in measures.items():
                    arrays[f"{name}/{method}/{measure}"] = values
        for method, values in self.by_pair.items():
            arrays[f"by_pair/{method}"] = values
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Scores:
        """Read what `save` wrote.

        Raises
        ------
        MissingInput
        """
        try:
            stored = dict(np.load(path))
        except FileNotFoundError as error:
            raise MissingInput(path.parent, "tasteprint-train evaluate") from error
        nested: dict[str, dict[str, dict[str, Values]]] = {"by_clip": {}, "by_user": {}}
        by_pair = {}
        for key, values in stored.items():
            match key.split("/"):
                case ["by_pair", method]:
                    by_pair[method] = values
                case [name, method, measure]:
                    nested[name].setdefault(method, {})[measure] = values
        return cls(
            stored["artists"],
            stored["users"],
            stored["listeners"],
            int(stored["n_items"]),
            by_pair=by_pair,
            **nested,
        )


def score(
    methods: Mapping[str, Method],
    artists: NDArray[np.str_],
    data: HeldOut,
    factors: Factorization,
) -> Scores:
    """Score every method on the clips, and beside them shuffled predictions and the ceiling.

    Parameters
    ----------
    methods : method → vectors of the clips of `data`
    artists : (n_clips,), key of the artist of each clip
    """
    network = methods[NETWORK].vectors
    every = {
        SHUFFLED: Method(shuffle_items(network, data.item_index)),
        **methods,
        CEILING: Method(data.folded_in[data.item_index]),
    }
    names, artist_index = np.unique(artists, return_inverse=True)
    in_space = {name: method.vectors for name, method in every.items() if method.in_space}
    return Scores(
        artists=artists,
        users=factors.users.to_numpy(str)[users_of(data)],
        listeners=listener_cosines(artist_users(data, artist_index, len(names))),
        n_items=len(data.items),
        by_clip={name: clip_measures(vectors, data, factors) for name, vectors in in_space.items()},
        by_user={
            name: recommendation_measures(vectors, data, factors, K)
            for name, vectors in in_space.items()
        },
        by_pair={
            name: embedding_cosines(mean_of_artists(method.vectors, artist_index))
            for name, method in every.items()
        },
    )


def artist_users(
    data: HeldOut, artist_index: NDArray[np.int64], n_artists: int
) -> sparse.csr_matrix:
    """Listeners of any item of each artist, shape (n_artists, n_users)."""
    pairs = np.unique(np.stack([artist_index, data.item_index]), axis=1)
    of_artist = sparse.csr_matrix(
        (np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(n_artists, len(data.items))
    )
    return sparse.csr_matrix(of_artist @ data.item_users)
