"""Nested choice: input, kind and hyperparameters of a probe, by inner cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import ParameterGrid
from threadpoolctl import threadpool_limits

from training.datasets.folds import assign_folds
from training.datasets.task import Kind as TaskKind
from training.probes.models import (
    FittedProbe,
    Hyperparameters,
    Inputs,
    Recipe,
    Targets,
    find_recipe,
    fit_probe,
    fit_scaler,
)
from training.transfer.calibration import fit_temperature

# Some hundred tracks: one division into folds decides by chance between near equals.
INNER_FOLDS, INNER_REPEATS = 4, 3
Array = NDArray[np.float64]


@dataclass(frozen=True)
class SearchSpace:
    """What a nested choice chooses from: every kind on every input, with the kind's grid.

    Attributes
    ----------
    inputs : name → float32, shape (n_tracks, dim)
    strength : fixed value of each kind's first hyperparameter; None searches its grid
    """

    inputs: Mapping[str, Inputs]
    kinds: Sequence[str]
    task_kind: TaskKind
    strength: float | None = None
    seed: int = 0

    def of_tracks(self, mask: NDArray[np.bool_]) -> SearchSpace:
        """The same choice for some of the tracks."""
        return replace(self, inputs={name: rows[mask] for name, rows in self.inputs.items()})

    def grid_of(self, recipe: Recipe) -> ParameterGrid:
        grid = dict(recipe.grid)
        if self.strength is not None:
            grid[next(iter(grid))] = (self.strength,)
        return ParameterGrid(grid)


@dataclass(frozen=True)
class Choice:
    """One combination, with its loss on held-out tracks and the temperature that minimises it."""

    input_name: str
    kind: str
    hyperparameters: Hyperparameters
    loss: float
    temperature: float


@dataclass(frozen=True)
class Split:
    """Inner split: inputs standardised by the training part; shared by all kinds and their grids.

    Attributes
    ----------
    training : bool, shape (n,)
    train, test : float64, shapes (n_train, dim) and (n_test, dim)
    """

    training: NDArray[np.bool_]
    train: Array
    test: Array

    @classmethod
    def of(cls, inputs: Inputs, training: NDArray[np.bool_]) -> Split:
        exact = inputs.astype(np.float64)
        scaler = fit_scaler(exact[training])
        return cls(training, scaler.transform(exact[training]), scaler.transform(exact[~training]))

    @cached_property
    def rotated(self) -> tuple[Array, Array]:
        """Training and other tracks in the span of the training tracks, min(n_train, dim) wide."""
        if self.train.shape[1] <= len(self.train):
            return self.train, self.test
        _, _, axes = np.linalg.svd(self.train, full_matrices=False)
        return self.train @ axes.T, self.test @ axes.T

    @cached_property
    def squared_distances(self) -> tuple[Array, Array]:
        """From the training tracks, shape (n_train, n_train), and the others, (n_test, n_train)."""
        return (
            euclidean_distances(self.train, squared=True),
            euclidean_distances(self.test, self.train, squared=True),
        )

    def predict(
        self, recipe: Recipe, chosen: Hyperparameters, targets: Targets, n_outputs: int, seed: int
    ) -> NDArray[np.float32]:
        """Logits or values of the held-out tracks, shape (n_test, n_outputs)."""
        train, test, options = self.train, self.test, dict[str, Any](chosen)
        if recipe.invariance == "rotation":  # fewer weights, and the same predictions
            train, test = self.rotated
        elif recipe.invariance == "distance":  # computed once for the whole grid
            gamma = options.pop("gamma")
            train, test = (np.exp(-gamma * distances) for distances in self.squared_distances)
            options["kernel"] = "precomputed"
        training = targets[self.training]
        model = fit_probe(recipe, options, train, training, n_outputs, seed, is_standard=True)
        return model.outputs(test)


def fit_best(
    space: SearchSpace,
    targets: Targets,
    folds: NDArray[np.int64],
    n_outputs: int,
) -> tuple[Choice, FittedProbe]:
    """Fit the combination that is best on held-out tracks, over all inner folds, on all tracks.

    Parameters
    ----------
    targets : of the rows of the space's inputs
    folds : of `assign_inner_folds`, shape (n_repeats, n), or of one division, (n,)
    """
    # With some hundred tracks, threads of BLAS wait for one another more than they compute.
    with threadpool_limits(1):
        choice = choose(space, targets, folds, n_outputs)
        recipe = find_recipe(choice.kind, space.task_kind)
        inputs = space.inputs[choice.input_name]
        fitted = fit_probe(recipe, choice.hyperparameters, inputs, targets, n_outputs, space.seed)
    return choice, replace(fitted, temperature=choice.temperature)


def choose(
    space: SearchSpace, targets: Targets, folds: NDArray[np.int64], n_outputs: int
) -> Choice:
    """The combination of input, kind and hyperparameters with the lowest loss on held-out tracks.

    The loss is the cross-entropy after calibration for classes, which compares kinds whose margins
    differ in scale, and -r² for values. The temperature is fitted on the same held-out tracks: it
    depends on the hyperparameters, since the margins of an SVM grow with C. Of equal losses the
    first one is chosen, which has the strongest regularization.
    """
    best: Choice | None = None
    divisions = np.atleast_2d(folds)
    for name, inputs in space.inputs.items():
        splits = [
            (repeat, Split.of(inputs, division != fold))
            for repeat, division in enumerate(divisions)
            for fold in np.unique(division)
        ]
        for kind in space.kinds:
            recipe = find_recipe(kind, space.task_kind)
            for chosen in space.grid_of(recipe):
                outputs = np.empty((len(divisions), len(inputs), n_outputs), np.float32)
                for repeat, split in splits:
                    held_out = split.predict(recipe, chosen, targets, n_outputs, space.seed)
                    outputs[repeat, ~split.training] = held_out
                repeated = np.concatenate([targets] * len(divisions))
                loss, temperature = calibrated_loss(np.concatenate(outputs), repeated)
                if best is None or loss < best.loss:
                    best = Choice(name, kind, chosen, loss, temperature)
    assert best is not None
    return best


def calibrated_loss(outputs: NDArray[np.float32], targets: Targets) -> tuple[float, float]:
    """The loss of held-out outputs, and the temperature that minimises it; 1 for values."""
    if targets.ndim == 2:
        return -float(r2_score(targets, outputs)), 1.0
    classes = np.asarray(targets, np.int64)
    temperature = fit_temperature(outputs, classes)
    log_probabilities = log_softmax(outputs / temperature, axis=1)
    return -float(log_probabilities[np.arange(len(classes)), classes].mean()), temperature


def assign_inner_folds(tracks: pd.DataFrame, seed: int) -> NDArray[np.int64]:
    """Folds of the nested cross-validation, shape (INNER_REPEATS, n), by `assign_folds`.

    In no division is an artist in two folds.
    """
    rows = tracks.reset_index(drop=True)
    seeds = range(seed * INNER_REPEATS, (seed + 1) * INNER_REPEATS)
    return np.stack([assign_folds(rows, INNER_FOLDS, repeat) for repeat in seeds])
