"""Cold start on real recordings: do vectors of unheard artists' clips tell who listens to them?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from training.cf.als import Factorization
from training.cf.logs import read_logs
from training.datasets.accounts import Account
from training.datasets.folds import N_FOLDS
from training.errors import NothingToEvaluate
from training.estimator.artist_split import load_split
from training.estimator.space import Warn
from training.evaluation.evaluate import account_joins
from training.evaluation.judged import join_parts
from training.evaluation.listener_similarity import (
    embedding_cosines,
    listener_cosines,
    mean_of_artists,
    rank_correlation,
)
from training.evaluation.ranking_metrics import HeldOut, clip_measures, held_out
from training.evaluation.scores import artist_users
from training.evaluation.sets import EvaluationSets
from training.leaderboard.entries import FOLD
from training.leaderboard.settings import LeaderboardSettings
from training.leaderboard.tasks import Array, JudgedTask, Judgement, digest_of
from training.linear.alpha import Audience, fit_map
from training.linear.clips import label_clips
from training.linear.settings import LinearSettings

LISTENERS = "listeners"


@dataclass(frozen=True)
class ListenerFiles:
    """Files of the task of listeners.

    Attributes
    ----------
    recordings : folders of `prepare`, of clips by artists of the logs
    factors, split : of each fold, with `{fold}` in the path: folder of `factorize`, file of `split`
    logs : files, folders or patterns, see `training.cf.logs.read_logs`
    columns : of users, items and counts in the logs
    """

    recordings: tuple[Path, ...]
    factors: Path
    split: Path
    logs: tuple[Path, ...]
    columns: tuple[str, str, str | None] = ("user_id", "item_id", None)


class ListenersTask(JudgedTask):
    """User AUC of held-out artists, by ridge regression from the vectors to the item factors.

    The regression is fitted on the artists of the other folds, its penalty chosen by user AUC
    within them, and ranks the users for each held-out clip. Held-out artists are in neither the
    factors nor any fit, and the vectors need be of no CF space. `who_listens` needs no fit: see
    `training.evaluation.listener_similarity`.

    Raises
    ------
    MissingInput, OtherSets, MissingAudioInput, BadLogs
    """

    def __init__(self, files: ListenerFiles) -> None:
        self.files = files
        self.sets = EvaluationSets.load(files.recordings)
        self.name, self.n_folds, self.is_dealt = LISTENERS, N_FOLDS, True
        users, items, counts = files.columns
        self.logs = read_logs(files.logs, user_column=users, item_column=items, count_column=counts)

    def accounts(self, *, allow_missing: bool, warn: Warn) -> list[Account]:
        """Of clips, factors and logs in every fold, each different one once.

        Raises
        ------
        Unmatched
            If the logs do not know a held-out item, or too few other items have a factor.
        """
        accounts: dict[str, Account] = {}
        for fold in range(self.n_folds):
            split, factors = self._split(fold), self._factors(fold)
            tracks = join_parts(self.sets.tracks, split)
            found = account_joins(tracks, split, self.logs, factors, allow_missing, warn)
            accounts |= {str(account): account for account in found}
        return list(accounts.values())

    def digest(self, fold: int) -> str:
        tracks = join_parts(self.sets.tracks, self._split(fold))
        columns = [tracks[name].tolist() for name in ("track_id", "item_id", "part")]
        return digest_of(*columns, self._factors(fold).space)

    def judge(
        self, vectors: Array, fold: int, seed: int, settings: LeaderboardSettings
    ) -> Judgement:
        factors, split = self._factors(fold), self._split(fold)
        clips = label_clips(self.sets.tracks, vectors, factors, split)
        audience = Audience(self.logs, factors, LinearSettings.min_listeners)
        fitted = fit_map(clips, audience, seed)
        tracks = join_parts(self.sets.tracks, split)
        is_test = (tracks["part"] == "test").to_numpy()
        test, unheard = tracks[is_test], vectors[is_test]
        data, enough = held_out(test["item_id"], self.logs, factors, settings.min_listeners)
        if not len(data.items):
            raise NothingToEvaluate(len(test), settings.min_listeners)
        predicted = np.asarray(fitted.map(unheard[enough]), np.float32)
        user_auc = clip_measures(predicted, data, factors)["user_auc"]
        listens = _who_listens(unheard[enough], test["artist"][enough], data)
        metrics = {"user_auc": float(user_auc.mean()), "who_listens": listens}
        return Judgement(
            # The correlation is NaN where a vector is the same for all artists.
            {name: value for name, value in metrics.items() if np.isfinite(value)},
            {"kind": "ridge", "alpha": fitted.alpha},
            {"train": len(clips), "test": len(predicted), "test items": len(data.items)},
        )

    def _factors(self, fold: int) -> Factorization:
        return _load_factors(of_fold(self.files.factors, fold))

    def _split(self, fold: int) -> pd.DataFrame:
        return _load_split(of_fold(self.files.split, fold))


# Every cell of a fold needs the same ones.
_load_factors, _load_split = cache(Factorization.load), cache(load_split)


def of_fold(path: Path, fold: int) -> Path:
    return Path(str(path).replace(FOLD, str(fold)))


def _who_listens(vectors: Array, artists: pd.Series, data: HeldOut) -> float:
    """Rank correlation of the artists' cosines, of vectors and of listeners."""
    names, index = np.unique(artists.to_numpy(str), return_inverse=True)
    cosines = embedding_cosines(mean_of_artists(vectors, index))
    return rank_correlation(cosines, listener_cosines(artist_users(data, index, len(names))))
