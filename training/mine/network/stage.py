"""Stage of the network: trained and judged beside the linear map, then trained on all songs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.card import Scalar
from training.cf.als import Factorization
from training.evaluation.names import NETWORK
from training.evaluation.ranking_metrics import bootstrap_over_groups
from training.mine.candidates import Candidate
from training.mine.hearing import Heard
from training.mine.judging import (
    SCORES,
    Choice,
    Vectors,
    World,
    fit_fold,
    read_scores,
    score_fold,
)
from training.mine.network.estimate import count_judging_steps
from training.mine.network.settings import NetworkSettings
from training.mine.network.training import Course, Length, OnStep, embed, find_length, train_for
from training.mine.network.verdict import NetworkVerdict
from training.mine.settings import FINE_TUNED, MineSettings
from training.mine.stages import Progress, begin, digest_of, finish, is_done
from training.mine.verdict import pool
from training.networks.inference import Track
from training.networks.musicnn import MusiCNN

SEARCH, REFIT, JUDGED = "search", "refit", "scores"
ALL, EMBEDDED, VECTORS = "all", "embedded", "embedding.npy"


@dataclass(frozen=True)
class Tuned:
    """A network that was fine-tuned on every song.

    Attributes
    ----------
    output : that an update fits its map on
    predicted : embedding of every song that was heard, (n, dim)
    facts : of the card
    """

    network: MusiCNN
    output: str
    predicted: Vectors
    facts: dict[str, Scalar]
    digest: str


@dataclass(frozen=True)
class NetworkStage:
    """What the network is trained on, and judged with.

    What is judged is all that the last training does: its length is found on validation artists of
    the fitted songs, and the network is trained for so long on all of these. The fold's artists are
    in neither their plays nor their audio, and the linear map that it starts from is fitted without
    them.

    Attributes
    ----------
    folds : of each song of the world
    linear : folders of the linear maps' folds
    work : receives a folder for each fold, and the measures of the network
    """

    world: World
    folds: NDArray[np.int64]
    linear: Sequence[Path]
    candidates: Sequence[Candidate]
    heard: Heard
    settings: MineSettings
    network: NetworkSettings
    min_listeners: int
    has_artists: bool
    work: Path

    @property
    def judging(self) -> list[int]:
        """The first folds that have a song with enough listeners."""
        scored = [(folder / JUDGED / SCORES).exists() for folder in self.linear]
        return [fold for fold, has in enumerate(scored) if has][: self.network.network_folds]

    def judge(self, progress: Progress) -> NetworkVerdict | None:
        """Train the network without some folds, and compare; None where no fold can judge.

        Raises
        ------
        TooFewArtists, NothingToTrain, LossNotFinite
        """
        if not self.judging:
            return None
        n_steps = count_judging_steps(len(self.world.tracks), len(self.judging), self.network)
        with progress.stage("fine-tune and judge a network", n_steps) as step:
            lengths = tuple(self._judge_fold(fold, step, progress.track) for fold in self.judging)
        own = read_scores([self.work / f"fold{fold}" for fold in self.judging])
        linear = read_scores([self.linear[fold] for fold in self.judging])
        key = f"clip/{NETWORK}/user_auc"
        values = [np.concatenate([fold[key] for fold in scores]) for scores in (linear, own)]
        artists = np.concatenate([fold["artists"] for fold in own])
        groups = np.unique(artists, return_inverse=True)[1]
        return NetworkVerdict(
            tuple(self.judging),
            lengths,
            bootstrap_over_groups(values[0], groups),
            bootstrap_over_groups(values[1] - values[0], groups),
            pool(own, self.work, min_listeners=self.min_listeners, has_artists=self.has_artists),
        )

    def tune(
        self,
        candidate: Candidate,
        choice: Choice,
        factors: Factorization,
        verdict: NetworkVerdict,
        progress: Progress,
    ) -> Tuned:
        """Fine-tune on all songs, for as many steps as the folds have found.

        Parameters
        ----------
        choice : the linear map of all songs, which the network starts from

        Raises
        ------
        NothingToTrain, LossNotFinite
        """
        stated, length = self.network.training_record(), verdict.length
        digest = digest_of(self.world.digest, vars(self.settings), stated, factors.space)
        course = self._make_course(candidate, self.world, factors, choice, digest)
        with progress.stage("fine-tune on all songs", length.steps) as step:
            trained = train_for(course, length, self.work / ALL, step)
        folder, digest = self.work / EMBEDDED, digest_of(digest, length.steps)
        if not is_done(folder, digest):
            begin(folder)
            np.save(folder / VECTORS, embed(trained, self.heard, self.heard.tracks, progress.track))
            finish(folder, digest)
        facts: dict[str, Scalar] = {
            "fine_tuned_encoder": candidate.encoder.card.name,
            FINE_TUNED: length.steps,
            **{f"fine_tuning: {name}": value for name, value in stated.items()},
            "judged: folds": ", ".join(map(str, verdict.folds)),
            "judged: user_auc gain over the linear map": round(verdict.gain[0], 4),
        }
        output = "features" if trained.embed_source == ("features",) else "embedding"
        return Tuned(trained, output, np.load(folder / VECTORS), facts, digest)

    def _judge_fold(self, fold: int, on_step: OnStep, track: Track) -> Length:
        """Train and write the scores of the fold's songs, where they are not of this course."""
        folder = self.work / f"fold{fold}"
        digest = digest_of(
            self.world.digest,
            vars(self.settings),
            self.network.training_record(),
            self.min_listeners,
            self.folds.tolist(),
            fold,
        )
        found = fit_fold(self.world, self.folds, fold, self.settings, self.linear[fold])
        candidate = next(some for some in self.candidates if some.name == found.choice.name)
        course = self._make_course(candidate, found.fitting, found.factors, found.choice, digest)
        length = find_length(course, folder / SEARCH, on_step)
        if is_done(folder / JUDGED, digest):
            return length
        trained = train_for(course, length, folder / REFIT, on_step)

        def embed_judged(judged: World) -> Vectors:
            return embed(trained, self.heard, judged.tracks, track)

        begin(folder / JUDGED)
        score_fold(found, embed_judged, self.settings, self.min_listeners, folder / JUDGED)
        finish(folder / JUDGED, digest)
        return length

    def _make_course(
        self,
        candidate: Candidate,
        songs: World,
        factors: Factorization,
        choice: Choice,
        digest: str,
    ) -> Course:
        seed = self.settings.seed
        return Course(candidate, songs, factors, choice, self.heard, self.network, seed, digest)
