"""Nested cross-validation: a choice within each fold's training part, judged on its test part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.card import Scalar
from training.datasets.prepared import TaskData
from training.errors import BadExport
from training.probes.inputs import ProbeInput
from training.probes.models import FittedProbe, find_recipe
from training.probes.search import (
    INNER_FOLDS,
    INNER_REPEATS,
    Choice,
    SearchSpace,
    assign_inner_folds,
    fit_best,
)
from training.probes.settings import BASELINE_KINDS, ProbeSettings
from training.transfer.evaluation import Prediction, evaluate_fold
from training.transfer.results import Cell, Result

BASELINE = "mel statistics, nested search"
Report = Callable[[Result], None]


@dataclass(frozen=True)
class Procedure:
    """A nested choice on a task; its results are filed under a method name and a width.

    Attributes
    ----------
    inputs : by the names of the space's inputs; empty for the baseline, which has no encoder
    """

    data: TaskData
    space: SearchSpace
    method: str
    width: int
    inputs: Mapping[str, ProbeInput] = field(default_factory=dict)

    def describe(self, choice: Choice) -> dict[str, Scalar]:
        """A choice for results and cards; the encoder is stated where there are several."""
        facts: dict[str, Scalar] = {"kind": choice.kind}
        if self.inputs:
            chosen = self.inputs[choice.input_name]
            if len({found.encoder.digest for found in self.inputs.values()}) > 1:
                facts["encoder"] = chosen.encoder.card.name
            facts["input"] = chosen.source_name
        inner = {"inner_folds": INNER_FOLDS, "inner_repeats": INNER_REPEATS}
        return facts | inner | choice.hyperparameters


def make_procedure(
    data: TaskData, inputs: Sequence[ProbeInput], settings: ProbeSettings
) -> Procedure:
    """The nested choice of a probe.

    Its method names kinds, encoders and outputs, as a results folder may hold several choices.
    """
    named = {found.name: found for found in inputs}
    values = {name: found.values for name, found in named.items()}
    encoders = list(dict.fromkeys(found.encoder.card.name for found in inputs))
    sources = list(dict.fromkeys(found.source_name for found in inputs))
    method = f"probe {','.join(settings.kinds)} on {','.join(encoders)} {','.join(sources)}"
    width = inputs[0].encoder.card.output_shape("features")[0]
    kind = data.facts.kind
    space = SearchSpace(values, settings.kinds, kind, settings.strength, settings.seed)
    return Procedure(data, space, method, width, named)


def make_baseline(data: TaskData, mel: NDArray[np.float32], seed: int) -> Procedure:
    """The same search on mel statistics, shape (n_tracks, dim), with linear models and RBF SVMs."""
    kind = data.facts.kind
    space = SearchSpace({"mel statistics": mel}, BASELINE_KINDS[kind], kind, seed=seed)
    return Procedure(data, space, BASELINE, mel.shape[1])


def evaluate(procedure: Procedure, folder: Path, report: Report) -> list[Result]:
    """The result of each fold, written into a folder, and reported as it is there."""
    runs = []
    for fold in range(procedure.data.n_folds):
        cell = Cell(procedure.method, procedure.width, fold, procedure.space.seed)
        predict = partial(_fit_and_predict, procedure, fold)
        runs.append(evaluate_fold(procedure.data, cell, folder, predict, teacher=None))
        report(runs[-1])
    return runs


def fit(procedure: Procedure, training: NDArray[np.bool_]) -> tuple[Choice, FittedProbe]:
    """Choice, weights and temperature, fitted on the tracks of a mask alone.

    Raises
    ------
    BadExport
    """
    data, space = procedure.data, procedure.space
    targets = data.targets[training]
    folds = assign_inner_folds(data.prepared.tracks[training], space.seed)
    if targets.ndim == 1 and any(
        len(set(targets[division != fold])) < 2 for division in folds for fold in set(division)
    ):
        raise BadExport(
            data.facts.name,
            "without some artists, the remaining tracks have one label alone; add other artists",
        )
    return fit_best(space.of_tracks(training), targets, folds, len(data.facts.labels))


def _fit_and_predict(procedure: Procedure, fold: int) -> Prediction:
    """Fit on all tracks but a fold's test part, and predict that part."""
    test = procedure.data.parts(fold) == "test"
    choice, fitted = fit(procedure, ~test)
    facts = procedure.describe(choice)
    if fitted.is_classifier:
        facts["temperature"] = fitted.temperature
    outputs = fitted.outputs(procedure.space.inputs[choice.input_name][test])
    prediction = Prediction.from_outputs(procedure.data.facts.kind, outputs, facts)
    chosen = procedure.inputs.get(choice.input_name)
    return replace(prediction, teacher=chosen.encoder) if chosen else prediction


def describe_run(run: Result) -> str:
    """What a fold chose, in words."""
    kind, names = str(run.settings["kind"]), ("encoder", "input")
    source = " ".join(str(run.settings[name]) for name in names if name in run.settings)
    grid = find_recipe(kind, run.kind).grid
    values = ", ".join(f"{name}={run.settings[name]:g}" for name in grid)
    return f"{kind}{' on ' if source else ''}{source} ({values})"
