"""Vectors of every method of an evaluation: the judged encoder, baselines, and other encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from training.cf.als import Factorization
from training.errors import BadEncoder
from training.estimator.clips import align_factors
from training.evaluation.baselines import predict_by_ridge, predict_mean, project_at_random
from training.evaluation.judged import Judged
from training.evaluation.names import (
    MEAN,
    MEL,
    N_PROJECTIONS,
    NETWORK,
    projections_of,
    ridge_on,
)
from training.evaluation.sets import EvaluationSets
from training.networks.inference import Track

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Method:
    """Vectors of the judged clips.

    Attributes
    ----------
    vectors : shape (n_clips, dim)
    in_space : whether they are in the CF space of the factors, so that users can be ranked by them
    """

    vectors: Vectors
    in_space: bool = True


def select(
    methods: Mapping[str, Method], clips: NDArray[np.bool_] | NDArray[np.int64]
) -> dict[str, Method]:
    """The vectors of some clips, by a mask or by positions."""
    return {name: Method(some.vectors[clips], some.in_space) for name, some in methods.items()}


@dataclass(frozen=True)
class Clips:
    """Clips that vectors are made of.

    Attributes
    ----------
    positions : among the tracks of the sets
    """

    sets: EvaluationSets
    positions: NDArray[np.int64]

    @property
    def set_names(self) -> NDArray[np.str_]:
        return np.asarray(self.sets.tracks["set"].to_numpy(str)[self.positions])

    def mel_statistics(self, track: Track) -> Vectors:
        return self.sets.mel_statistics(track)[self.positions]

    def outputs(self, encoder: Bundle, name: str, track: Track) -> Vectors:
        return self.sets.outputs(encoder, name, track)[self.positions]


@dataclass(frozen=True)
class Fitting:
    """What the baselines are fitted on.

    Attributes
    ----------
    targets : (n_clips, dim), item factors of the clips
    space : the CF space of the factors
    """

    clips: Clips
    targets: Vectors
    space: str

    def mean(self, judged: Clips) -> Method:
        return Method(predict_mean(self.targets, self.clips.set_names, judged.set_names))

    def ridge(self, inputs: Vectors, judged_inputs: Vectors, judged: Clips) -> Method:
        """Ridge regression from inputs of the fitted clips, shape (n_clips, n_inputs)."""
        sets = self.clips.set_names, judged.set_names
        return Method(predict_by_ridge(inputs, self.targets, judged_inputs, *sets))


def make_fitting(
    sets: EvaluationSets, is_test: NDArray[np.bool_], factors: Factorization, judged: Judged
) -> Fitting:
    """The tracks with a target that are outside the test part."""
    targets = align_factors(sets.tracks, factors, judged.targets)
    is_known = ~np.isnan(targets).any(1)
    fitted = np.flatnonzero(is_known & ~is_test)
    return Fitting(Clips(sets, fitted), targets[fitted], factors.space)


def method_vectors(
    judged: Judged, encoders: Sequence[Bundle], fitting: Fitting, clips: Clips, track: Track
) -> dict[str, Method]:
    """Method → vectors of the clips, the judged encoder last.

    Raises
    ------
    OtherAudio
        If the sets are not decoded for an encoder.
    BadEncoder
        If the judged encoder's embedding is of another size than the factors.
    """
    dim = fitting.targets.shape[1]
    if judged.embedding_dim != dim:
        raise BadEncoder(judged.name, f"has an embedding of {judged.embedding_dim}, not {dim}")
    fitted_statistics, statistics = (some.mel_statistics(track) for some in (fitting.clips, clips))
    methods = {
        MEAN: fitting.mean(clips),
        MEL: Method(statistics, in_space=False),
        ridge_on(MEL): fitting.ridge(fitted_statistics, statistics, clips),
    }
    for encoder in encoders:
        methods |= _encoder_methods(encoder, fitting, clips, track)
    methods[NETWORK] = Method(judged.embed(clips.sets, clips.positions, track))
    return methods


def _encoder_methods(
    encoder: Bundle, fitting: Fitting, clips: Clips, track: Track
) -> dict[str, Method]:
    """An encoder untouched, ridge on its features, and a control that cannot know listeners."""
    name = encoder.card.name
    fitted, features = (some.outputs(encoder, "features", track) for some in (fitting.clips, clips))
    fitted_projected, projected = (
        project_at_random(inputs, N_PROJECTIONS) for inputs in (fitted, features)
    )
    in_space = encoder.card.space == fitting.space
    return {
        name: Method(clips.outputs(encoder, "embedding", track), in_space),
        projections_of(name): Method(projected, in_space=False),
        ridge_on(projections_of(name)): fitting.ridge(fitted_projected, projected, clips),
        ridge_on(name): fitting.ridge(fitted, features, clips),
    }
