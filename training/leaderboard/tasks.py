"""Tasks of a leaderboard: what vectors are judged on, and the folders of `dataset` as such."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.card import Scalar
from training.datasets.accounts import Account
from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.datasets.prepared import TaskData, check_same_tracks
from training.errors import BadDataset
from training.estimator.space import Warn
from training.evaluation.sets import EvaluationSets
from training.leaderboard.settings import LeaderboardSettings
from training.probes.nested import Procedure, fit
from training.probes.search import SearchSpace
from training.transfer.evaluation import Prediction, score

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Judgement:
    """What a probe scores on the held-out tracks of a fold.

    Attributes
    ----------
    metrics : the first one is what entries are ranked by
    settings : hyperparameters that were chosen
    counts : tracks of the parts
    """

    metrics: dict[str, float]
    settings: dict[str, Scalar]
    counts: dict[str, int]


class JudgedTask(ABC):
    """Tracks with targets and folds, on which vectors are judged by a probe.

    Attributes
    ----------
    sets : windows of the tracks for one or several audio inputs
    is_dealt : whether the folds are those of the one deal of artists
    data_names : data sets that the task is made of, as cards name them
    """

    sets: EvaluationSets
    name: str
    n_folds: int
    is_dealt: bool
    data_names: tuple[str, ...] = ()

    def accounts(self, *, allow_missing: bool, warn: Warn) -> list[Account]:
        """Accounts of the joins that the task is made by; a task with labels of its own has none.

        Parameters
        ----------
        allow_missing : accept that few ids are on both sides
        warn : called with what makes scores look better than they are
        """
        return []

    @abstractmethod
    def digest(self, fold: int) -> str:
        """SHA-256 of the tracks, their targets and which of them are held out."""

    @abstractmethod
    def judge(
        self, vectors: Array, fold: int, seed: int, settings: LeaderboardSettings
    ) -> Judgement:
        """Fit the probe on the other folds, choosing its regularization there, and score this one.

        Parameters
        ----------
        vectors : float32, shape (n_tracks, dim), in the order of `sets.tracks`
        """


class LabelledTask(JudgedTask):
    """A folder of `dataset`; further folders hold the same tracks, decoded for other encoders.

    Raises
    ------
    MissingInput, OtherTracks, MissingAudioInput
    BadDataset
        If its tracks have several labels each.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.data = TaskData.load(folders[0])
        facts = self.data.facts
        if facts.kind == "multilabel":
            raise BadDataset(
                facts.name,
                "its tracks have several labels each, and a leaderboard is of classification and "
                "regression; leave the task out",
            )
        for folder in folders[1:]:
            check_same_tracks(self.data, TaskData.load(folder))
        self.sets = EvaluationSets.load(folders)
        self.name, self.n_folds = facts.name, self.data.n_folds
        self.is_dealt = _is_dealt(self.data.prepared.tracks)
        self.data_names = tuple(data.name for data in facts.data)
        self._tests = [self.data.parts(fold) == "test" for fold in range(self.n_folds)]

    def digest(self, fold: int) -> str:
        ids = self.data.prepared.tracks["track_id"].tolist()
        targets = self.data.targets.round(4).tolist()
        return digest_of(ids, targets, self._tests[fold].tolist())

    def judge(
        self, vectors: Array, fold: int, seed: int, settings: LeaderboardSettings
    ) -> Judgement:
        kind, is_test = self.data.facts.kind, self._tests[fold]
        space = SearchSpace({"vectors": vectors}, (settings.kind_for(kind),), kind, seed=seed)
        procedure = Procedure(self.data, space, self.name, vectors.shape[1])
        choice, fitted = fit(procedure, ~is_test)
        prediction = Prediction.from_outputs(kind, fitted.outputs(vectors[is_test]), {})
        return Judgement(
            score(kind, self.data.targets[is_test], prediction.predicted),
            procedure.describe(choice),
            {"train": int((~is_test).sum()), "test": int(is_test.sum())},
        )


def digest_of(*facts: object) -> str:
    """SHA-256 of facts that JSON can hold."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _is_dealt(tracks: pd.DataFrame) -> bool:
    """Whether every track is in the fold that its artist, or else its id, is dealt to."""
    if "fold" not in tracks:
        return False
    artists = tracks["artist"].map(artist_key)
    dealt = artists.where(artists != "", "track " + tracks["track_id"]).map(deal_fold)
    return bool((dealt == tracks["fold"].astype(int)).all())
