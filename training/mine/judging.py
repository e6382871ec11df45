"""Nested choice: each fold of artists judges a model that was chosen and fitted without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.cf.als import Factorization
from training.cf.logs import Logs
from training.datasets.folds import N_FOLDS, assign_folds
from training.errors import TooFewArtists
from training.estimator.clips import align_factors
from training.evaluation.baselines import predict_by_ridge, shuffle_items
from training.evaluation.names import CEILING, MEAN, MEL, NETWORK, SHUFFLED, ridge_on
from training.evaluation.ranking_metrics import (
    HeldOut,
    clip_measures,
    held_out,
    recommendation_measures,
    users_of,
)
from training.evaluation.scores import K
from training.linear.alpha import Audience, FittedMap, fit_map
from training.linear.clips import label_clips
from training.mine.factors import factorize_best, leave_out
from training.mine.settings import MineSettings
from training.mine.stages import begin, digest_of, finish, is_done, write_json

Vectors = NDArray[np.float32]
SCORES, CHOICE, FOLD_FACTORS = "scores.npz", "choice.json", "factors"
# Beyond these, a sample is judged: intervals are narrow by then.
MAX_JUDGED_CLIPS, MAX_JUDGED_USERS = 2000, 5000
MIN_LISTENERS = (10, 5, 3, 2, 1)


@dataclass(frozen=True)
class World:
    """Songs that were heard and played, and what every candidate makes of them.

    Attributes
    ----------
    tracks : `track_id`, `item_id`, `set`, and `artist`, the key that songs are held out by
    inputs : name of a candidate → (n, n_in)
    mel : statistics of the mel spectrogram, which the baseline is fitted on, (n, 288)
    logs : plays as counts, of every item
    digest : of inputs and candidates
    """

    tracks: pd.DataFrame
    inputs: dict[str, Vectors]
    mel: Vectors
    logs: Logs
    digest: str

    def __getitem__(self, mask: NDArray[np.bool_]) -> World:
        inputs = {name: values[mask] for name, values in self.inputs.items()}
        tracks = self.tracks[mask].reset_index(drop=True)
        return replace(self, tracks=tracks, inputs=inputs, mel=self.mel[mask])


@dataclass(frozen=True)
class Choice:
    """The candidate that is best for artists that it has not heard.

    Attributes
    ----------
    user_auc : name of a candidate → user AUC over inner folds of artists
    """

    name: str
    fitted: FittedMap
    user_auc: dict[str, float]


def deal_folds(world: World, seed: int) -> NDArray[np.int64]:
    """A fold of each song; those of an artist are in one.

    Raises
    ------
    TooFewArtists
    """
    n_artists = world.tracks["artist"].nunique()
    if n_artists < 2:
        raise TooFewArtists("songs that are heard and played", n_artists)
    return assign_folds(world.tracks[["track_id", "artist"]], min(N_FOLDS, n_artists), seed)


def lower_min_listeners(world: World, stated: int) -> int:
    """The minimum of listeners that half of the songs have, at most the stated one."""
    index = world.logs.items.get_indexer(world.tracks["item_id"])
    listeners = np.diff(world.logs.user_items.tocsc().indptr)[index]
    median = float(np.median(listeners))
    return next((least for least in (stated, *MIN_LISTENERS) if least <= min(stated, median)), 1)


def choose(world: World, factors: Factorization, logs: Logs, seed: int) -> Choice:
    """The best candidate and penalty, by cross-validation over the artists of these songs.

    Raises
    ------
    NothingToTrain, TooFewArtists, NothingToEvaluate
    """
    few = sample_users(factors, seed)
    audience = Audience(logs, few, lower_min_listeners(world, 3))
    found = {}
    for name, inputs in world.inputs.items():
        clips = label_clips(world.tracks, inputs, factors, None)
        found[name] = fit_map(clips, audience, seed)
    user_auc = {name: fitted.user_auc[fitted.alpha] for name, fitted in found.items()}
    best = max(user_auc, key=lambda name: user_auc[name])
    return Choice(best, found[best], user_auc)


@dataclass(frozen=True)
class Fold:
    """A fold of artists, and what is fitted without it.

    Attributes
    ----------
    fitting, test : songs outside the fold, and in it
    logs : plays without those of the fold's songs
    """

    fitting: World
    test: World
    logs: Logs
    factors: Factorization
    choice: Choice


def fit_fold(
    world: World,
    folds: NDArray[np.int64],
    fold: int,
    settings: MineSettings,
    folder: Path,
    on_fit: Callable[[], None] = lambda: None,
) -> Fold:
    """Factorise and choose without a fold; the factors of a folder are made once.

    The fold's songs are in neither the plays nor the audio that is fitted and chosen on.

    Raises
    ------
    NothingToFactorize, NothingToTrain, TooFewArtists, NothingToEvaluate
    """
    is_test = folds == fold
    fitting, test = world[~is_test], world[is_test]
    logs = leave_out(world.logs, set(test.tracks["item_id"]))
    factors = factorize_best(logs, settings, folder / FOLD_FACTORS, on_fit)
    choice = choose(fitting, factors, logs, settings.seed)
    return Fold(fitting, test, logs, factors, choice)


def judge_fold(
    world: World,
    folds: NDArray[np.int64],
    fold: int,
    settings: MineSettings,
    min_listeners: int,
    folder: Path,
    on_fit: Callable[[], None],
) -> None:
    """Write the scores of a fold's songs and the choice, where they are not of this world.

    Raises
    ------
    NothingToFactorize, NothingToTrain, TooFewArtists, NothingToEvaluate
    """
    digest = digest_of(world.digest, vars(settings), min_listeners, folds.tolist(), fold)
    if is_done(folder, digest):
        return
    found = fit_fold(world, folds, fold, settings, folder, on_fit)
    choice = found.choice
    begin(folder / "scores")
    write_json(
        folder / CHOICE,
        {"name": choice.name, "alpha": choice.fitted.alpha, "user_auc": choice.user_auc},
    )

    def map_linearly(judged: World) -> Vectors:
        return np.asarray(choice.fitted.map(judged.inputs[choice.name]), np.float32)

    score_fold(found, map_linearly, settings, min_listeners, folder / "scores")
    finish(folder, digest)


def score_fold(
    fold: Fold,
    embed: Callable[[World], Vectors],
    settings: MineSettings,
    min_listeners: int,
    folder: Path,
) -> None:
    """Write the scores of the fold's songs with enough listeners, if there are any.

    Parameters
    ----------
    embed : the model that is judged, (n, dim) of some songs
    """
    few = sample_users(fold.factors, settings.seed)
    kept = sample_clips(fold.test, settings.seed)
    data, counted = held_out(kept.tracks["item_id"], fold.test.logs, few, min_listeners)
    if not len(data.items):
        return
    predicted = predict(fold.fitting, kept, fold.factors) | {NETWORK: embed(kept)}
    scores = score({name: some[counted] for name, some in predicted.items()}, data, few)
    scores["artists"] = kept.tracks["artist"].to_numpy(str)[counted]
    scores["n_items"] = np.array(len(data.items))
    np.savez(folder / SCORES, **scores)  # type: ignore[arg-type]


def predict(fitting: World, judged: World, factors: Factorization) -> dict[str, Vectors]:
    """Vectors of the judged songs: the mean of the fitted ones, and those of the baseline."""
    targets = align_factors(fitting.tracks, factors, "unit")
    known = ~np.isnan(targets).any(1)
    n_judged = len(judged.tracks)
    one_set = np.full(int(known.sum()), "songs"), np.full(n_judged, "songs")
    ridge = predict_by_ridge(fitting.mel[known], targets[known], judged.mel, *one_set)
    return {
        MEAN: np.tile(targets[known].mean(0), (n_judged, 1)),
        ridge_on(MEL): ridge,
    }


def score(
    predicted: Mapping[str, Vectors], data: HeldOut, factors: Factorization
) -> dict[str, NDArray[np.generic]]:
    """`clip/<method>/<measure>` and `user/<method>/<measure>` → values."""
    found: dict[str, NDArray[np.generic]] = {}
    shuffled = shuffle_items(predicted[NETWORK], data.item_index)
    every = {SHUFFLED: shuffled, **predicted, CEILING: data.folded_in[data.item_index]}
    for method, vectors in every.items():
        for measure, values in clip_measures(vectors, data, factors).items():
            found[f"clip/{method}/{measure}"] = values
        for measure, values in recommendation_measures(vectors, data, factors, K).items():
            found[f"user/{method}/{measure}"] = values
    found["users"] = factors.users.to_numpy(str)[users_of(data)]
    return found


def sample_users(factors: Factorization, seed: int) -> Factorization:
    """The factors with at most `MAX_JUDGED_USERS` users, drawn at random."""
    n_users = len(factors.users)
    if n_users <= MAX_JUDGED_USERS:
        return factors
    chosen = np.random.default_rng(seed).choice(n_users, MAX_JUDGED_USERS, replace=False)
    chosen.sort()
    return replace(factors, user_factors=factors.user_factors[chosen], users=factors.users[chosen])


def sample_clips(world: World, seed: int) -> World:
    mask = np.zeros(len(world.tracks), bool)
    mask[np.random.default_rng(seed).permutation(len(mask))[:MAX_JUDGED_CLIPS]] = True
    return world[mask]


def read_scores(folders: Sequence[Path]) -> list[dict[str, NDArray[np.generic]]]:
    """Scores of the folds that have a song with enough listeners."""
    paths = [folder / "scores" / SCORES for folder in folders]
    return [dict(np.load(path)) for path in paths if path.exists()]
