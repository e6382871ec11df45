"""Vectors of every method of an evaluation: the judged encoder, baselines, and other encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from training.cf.als import Factorization
from training.errors import BadEncoder
from training.estimator.train import scaled_targets
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


@dataclass(frozen=True)
class Fitting:
    """What the baselines are fitted on, and what they are judged on.

    Attributes
    ----------
    fitted, judged : positions among the tracks of the sets
    targets : (n_fitted, dim), item factors of the fitted tracks
    space : the CF space of the factors
    """

    sets: EvaluationSets
    fitted: NDArray[np.int64]
    judged: NDArray[np.int64]
    targets: Vectors
    space: str

    @property
    def set_names(self) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
        """Name of the set of each fitted and each judged track."""
        names = self.sets.tracks["set"].to_numpy(str)
        return names[self.fitted], names[self.judged]

    def ridge_on(self, inputs: Vectors) -> Method:
        """Ridge regression from inputs of every track, shape (n_tracks, n_inputs)."""
        vectors = predict_by_ridge(
            inputs[self.fitted], self.targets, inputs[self.judged], *self.set_names
        )
        return Method(vectors)

    def untouched(self, vectors: Vectors) -> Method:
        """Vectors of every track as they are, in no CF space."""
        return Method(vectors[self.judged], in_space=False)

    def embedded_by(self, encoder: Bundle, track: Track) -> Method:
        """Embeddings of an encoder as they are, in the space of the factors if its card says so."""
        vectors = self.sets.outputs(encoder, "embedding", track)[self.judged]
        return Method(vectors, in_space=encoder.card.space == self.space)


def make_fitting(
    sets: EvaluationSets, is_test: NDArray[np.bool_], factors: Factorization, judged: Judged
) -> Fitting:
    """The tracks with a target outside the test part, and those of the test part."""
    known, targets = scaled_targets(sets.tracks["item_id"], factors, judged.targets)
    fitted = np.flatnonzero(known & ~is_test)
    return Fitting(sets, fitted, np.flatnonzero(is_test), targets[fitted], factors.space)


def method_vectors(
    judged: Judged, encoders: Sequence[Bundle], fitting: Fitting, track: Track
) -> dict[str, Method]:
    """Method → vectors of the judged tracks, the judged encoder last.

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
    statistics = fitting.sets.mel_statistics(track)
    methods = {
        MEAN: Method(predict_mean(fitting.targets, *fitting.set_names)),
        MEL: fitting.untouched(statistics),
        ridge_on(MEL): fitting.ridge_on(statistics),
    }
    for encoder in encoders:
        methods |= _encoder_methods(encoder, fitting, track)
    methods[NETWORK] = Method(judged.embed(fitting.sets, fitting.judged, track))
    return methods


def _encoder_methods(encoder: Bundle, fitting: Fitting, track: Track) -> dict[str, Method]:
    """An encoder untouched, ridge on its features, and a control that cannot know listeners."""
    name = encoder.card.name
    features = fitting.sets.outputs(encoder, "features", track)
    projected = project_at_random(features, N_PROJECTIONS)
    return {
        name: fitting.embedded_by(encoder, track),
        projections_of(name): fitting.untouched(projected),
        ridge_on(projections_of(name)): fitting.ridge_on(projected),
        ridge_on(name): fitting.ridge_on(features),
    }
