"""Training of the network in two steps: how long, on validation artists; then on every song."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.datasets.folds import assign_folds
from training.errors import NothingToTrain, TooFewArtists
from training.estimator.clips import Clips, align_factors
from training.estimator.fine_tuning import best_step, fine_tune
from training.estimator.settings import EstimatorSettings
from training.linear.alpha import FittedMap
from training.linear.clips import label_clips
from training.linear.ridge import fit_standardised_ridge
from training.mine.candidates import Candidate
from training.mine.hearing import Heard
from training.mine.judging import Choice, Vectors, World
from training.mine.network.settings import NetworkSettings
from training.mine.stages import (
    digest_of,
    finish,
    is_done,
    read_json,
    resume_or_begin,
    write_json,
)
from training.networks.inference import Track, run_over_rows, torch_forward
from training.networks.losses import embedding_loss
from training.networks.musicnn import MusiCNN
from training.networks.registry import name_of

RUN, LENGTH, WEIGHTS = "run", "length.json", "weights.pt"
# A tenth of the artists validate, as in `split`.
VALIDATION_FOLDS = 10
OnStep = Callable[[], None]


@dataclass(frozen=True)
class Course:
    """What a network is trained on.

    Attributes
    ----------
    songs : that are fitted on
    choice : the linear map of all of them, which the network starts from
    digest : of all that
    """

    candidate: Candidate
    songs: World
    factors: Factorization
    choice: Choice
    heard: Heard
    settings: NetworkSettings
    seed: int
    digest: str

    def clips(self, chosen: NDArray[np.bool_]) -> Clips:
        """The chosen songs whose item has a factor."""
        tracks = self.songs.tracks[chosen]
        targets = align_factors(tracks, self.factors, "unit")
        known = ~np.isnan(targets).any(1)
        return Clips(tracks[known], targets[known])


@dataclass(frozen=True)
class Length:
    """How long a network was trained until the loss on validation artists was lowest.

    Attributes
    ----------
    steps : a multiple of the interval; 0 where no training lowers the loss of the linear map
    interval : steps from one validation to the next
    first_loss, loss : on validation artists, of the linear map and of the network
    """

    steps: int
    interval: int
    first_loss: float
    loss: float


def count_steps(n_songs: int, settings: NetworkSettings) -> int:
    """Training steps of an epoch."""
    return max(1, n_songs // settings.batch_size)


def find_length(course: Course, folder: Path, on_step: OnStep) -> Length:
    """Train on all but some artists until the loss on these artists is lowest.

    The linear map that it starts from is fitted without them too: from one that knows them, any
    training is a loss to them at first, and would be ended at once.

    Raises
    ------
    TooFewArtists, NothingToTrain, LossNotFinite
    """
    if is_done(folder, course.digest):
        return Length(**read_json(folder / LENGTH))
    resume_or_begin(folder, course.digest)
    held = _draw_validation(course)
    fitted = _fit_without(course, held)
    network, _ = course.candidate.make_network(fitted)
    training, validation = course.clips(~held), course.clips(held)
    every = count_steps(len(training), course.settings)
    settings = _make_settings(course, network, every)
    _tune(course, network, training, validation, folder, settings, on_step)
    steps, loss = best_step(folder / RUN)
    first_loss = _loss_of(fitted, course, held)
    found = Length(steps if loss < first_loss else 0, every, first_loss, loss)
    write_json(folder / LENGTH, vars(found))
    finish(folder, course.digest)
    return found


def train_for(course: Course, length: Length, folder: Path, on_step: OnStep) -> MusiCNN:
    """The network after so many steps on all songs of the course, in evaluation mode.

    Nothing is held out and nothing is chosen: validations write checkpoints alone.

    Raises
    ------
    NothingToTrain, LossNotFinite
    """
    network, _ = course.candidate.make_network(course.choice.fitted)
    if not length.steps:
        return network
    digest = digest_of(course.digest, length.steps, length.interval)
    if not is_done(folder, digest):
        resume_or_begin(folder, digest)
        everything = np.ones(len(course.songs.tracks), bool)
        settings = replace(
            _make_settings(course, network, length.interval),
            max_epochs=0,
            max_steps=length.steps,
            patience=length.steps + 1,
        )
        few = course.clips(_draw_validation(course))
        _tune(course, network, course.clips(everything), few, folder, settings, on_step)
        torch.save(network.state_dict(), folder / WEIGHTS)
        finish(folder, digest)
    network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
    return network


def embed(network: MusiCNN, heard: Heard, tracks: pd.DataFrame, track: Track) -> Vectors:
    """The network's embedding of some songs, (n, dim).

    Parameters
    ----------
    tracks : rows of `heard.tracks`
    """
    prepared = Prepared(heard.windows(network.audio), tracks, network.audio)
    rows = tracks["row"].to_numpy(np.int64)
    forward = torch_forward(network, network.make_front_end())
    return run_over_rows(forward, prepared, rows, label="network", track=track)[0]


def _draw_validation(course: Course) -> NDArray[np.bool_]:
    """Whether a song is of an artist that validates."""
    tracks = course.songs.tracks
    n_artists = tracks["artist"].nunique()
    if n_artists < 2:
        raise TooFewArtists("songs that a network is trained on", n_artists)
    n_folds = min(VALIDATION_FOLDS, n_artists)
    held = assign_folds(tracks[["track_id", "artist"]], n_folds, course.seed) == 0
    return np.asarray(held)


def _fit_without(course: Course, held: NDArray[np.bool_]) -> FittedMap:
    """The linear map with the same penalty, of the songs that are not held out."""
    songs, fitted = course.songs[~held], course.choice.fitted
    clips = label_clips(songs.tracks, songs.inputs[course.choice.name], course.factors, None)
    (found,) = fit_standardised_ridge(clips.inputs, clips.targets, clips.weights, [fitted.alpha])
    return FittedMap(found, fitted.alpha, fitted.user_auc)


def _loss_of(fitted: FittedMap, course: Course, held: NDArray[np.bool_]) -> float:
    """The validation loss of a linear map, as `EstimatorModule` computes that of the network."""
    songs = course.songs[held]
    predicted = fitted.map(songs.inputs[course.choice.name])
    targets = align_factors(songs.tracks, course.factors, "unit")
    known = ~np.isnan(targets).any(1)
    pair = (torch.from_numpy(values[known]).float() for values in (predicted, targets))
    return float(embedding_loss(*pair))


def _make_settings(course: Course, network: MusiCNN, every: int) -> EstimatorSettings:
    stated = course.settings
    return EstimatorSettings(
        batch_size=stated.batch_size,
        learning_rate=stated.learning_rate,
        max_epochs=stated.network_epochs,
        validation_steps=every,
        patience=stated.network_patience,
        width=network.width,
        encoder=name_of(network),
        balance=True,
        trainable=stated.trainable,
        accelerator=stated.accelerator,
        seed=course.seed,
    )


def _tune(
    course: Course,
    network: MusiCNN,
    training: Clips,
    validation: Clips,
    folder: Path,
    settings: EstimatorSettings,
    on_step: OnStep,
) -> None:
    for part, clips in (("train", training), ("validation", validation)):
        if not len(clips):
            raise NothingToTrain(part, len(course.songs.tracks))
    windows, heard = course.heard.windows(), course.heard.windows(network.audio)
    (folder / RUN).mkdir(exist_ok=True)
    fine_tune(
        network,
        windows,
        heard,
        training,
        validation,
        folder / RUN,
        settings,
        start=course.digest,
        on_step=on_step,
    )
