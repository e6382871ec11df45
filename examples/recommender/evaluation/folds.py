"""Folds of the evaluation: what the encoder that heard none of a fold's artists predicts of them.

A fold is a folder of `make linear`: `split.csv`, `factors` and the encoder's bundle. The artists of
its test part are in neither the audio nor the logs that bundle and factors were fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from examples.recommender.blend import unit
from examples.recommender.factors import Factors, Vectors

MIN_LISTENERS = 10
# Named as in docs/cf-estimator.md.
PREDICTION, MEAN, RIDGE = "prediction", "mean vector", "ridge on mel statistics"


@dataclass(frozen=True)
class Songs:
    """Held-out songs of one set, recordings or renderings.

    Attributes
    ----------
    artists : ids of the held-out artists
    artist_index : (n_songs,), index of each song's artist
    listens : bool, (n_artists, n_users), users in the order of the factors
    predicted : method → unit vectors, (n_songs, dim)
    """

    artists: list[str]
    artist_index: NDArray[np.int64]
    listens: NDArray[np.bool_]
    predicted: dict[str, Vectors]


@dataclass(frozen=True)
class Fold:
    """One fold: the factorisation without its artists, and their songs by set.

    Attributes
    ----------
    user_items : CSR, (n_users, n_items), in the order of the factors: who listens to the others
    n_artists : (n_users,), of each user, the held-out ones too: HetRec has the first 50 of each,
        and so a user who lacks some of them here listens to a held-out one
    """

    factors: Factors
    user_items: sparse.csr_matrix
    n_artists: NDArray[np.int64]
    songs: dict[str, Songs]


def load_fold(folder: Path, bundle: str, prepared: list[Path], logs: Path) -> Fold:
    """Read one fold, and embed its held-out songs.

    Parameters
    ----------
    bundle : path of the encoder in the folder
    prepared : folders of `tasteprint-train prepare`: the songs as the encoder hears them, and
        whole windows for the ridge regression on mel statistics
    logs : who listens to which artist
    """
    from training.cf.als import Factorization
    from training.cf.logs import read_logs
    from training.evaluation.judged import join_parts, load_bundle
    from training.evaluation.methods import Clips, make_fitting, method_vectors
    from training.evaluation.names import MEL, NETWORK, ridge_on
    from training.evaluation.ranking_metrics import held_out
    from training.evaluation.sets import EvaluationSets

    factorization = Factorization.load(folder / "factors")
    judged = load_bundle(folder / bundle, folder / "split.csv")
    all_logs = read_logs(logs, item_column="artist_id")
    sets = EvaluationSets.load(prepared)
    tracks = join_parts(sets.tracks, judged.split)
    is_test = (tracks["part"] == "test").to_numpy()
    fitting = make_fitting(sets, is_test, factorization, judged)
    clips = Clips(sets, np.flatnonzero(is_test))
    found = method_vectors(judged, [], fitting, clips, lambda label, starts: starts)
    names = {PREDICTION: NETWORK, MEAN: MEAN, RIDGE: ridge_on(MEL)}
    vectors = {name: unit(found[method].vectors) for name, method in names.items()}
    songs = {}
    for name in np.unique(clips.set_names):
        is_of_set = clips.set_names == name
        data, enough = held_out(
            tracks[is_test]["item_id"][is_of_set], all_logs, factorization, MIN_LISTENERS
        )
        songs[str(name)] = Songs(
            artists=list(data.items),
            artist_index=data.item_index,
            listens=data.item_users.toarray() > 0,
            predicted={method: rows[is_of_set][enough] for method, rows in vectors.items()},
        )
    rows = all_logs.users.get_indexer(factorization.users)
    columns = all_logs.items.get_indexer(factorization.items)
    user_items = all_logs.user_items[rows]
    factors = Factors.load(folder / "factors")
    return Fold(factors, user_items[:, columns], user_items.getnnz(1), songs)
