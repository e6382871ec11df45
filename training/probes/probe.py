"""Probe: a scikit-learn model on a frozen encoder's outputs, cross-validated and exported.

The encoder is unchanged, so the bundle has a head beside the whole graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, read
from models.card import Scalar
from training.datasets.prepared import TaskData
from training.errors import BadExport
from training.export.bundle import (
    PARITY_CLIPS,
    CheckedHead,
    as_teacher,
    make_provenance,
    write_bundle,
)
from training.export.parity import CheckedGraph, check_outputs
from training.probes.models import (
    INNER_FOLDS,
    FittedProbe,
    Hyperparameters,
    Inputs,
    Recipe,
    assign_inner_folds,
    find_recipe,
    fit_best,
)
from training.probes.settings import SOURCES, ProbeSettings, check_kind_and_source
from training.probes.sklearn_to_onnx import add_head, check_graph, to_head
from training.transfer.encoder_outputs import bundle_outputs, require_encoder
from training.transfer.evaluation import Prediction, evaluate_fold
from training.transfer.results import Cell
from training.transfer.summary import summary


@dataclass(frozen=True)
class Plan:
    """Settings of a probe, the recipe of its kind, and the encoder that it is fitted on."""

    settings: ProbeSettings
    recipe: Recipe
    encoder: Bundle

    @property
    def method(self) -> str:
        """Method name of the results; it names the encoder, as a folder may hold several."""
        settings = self.settings
        return f"probe {settings.kind} on {self.encoder.card.name} {settings.source}"

    @property
    def facts(self) -> dict[str, Scalar]:
        settings = self.settings
        return {"kind": settings.kind, "input": settings.source, "inner_folds": INNER_FOLDS}


def probe(
    task: Path,
    encoder: Path,
    out: Path,
    results: Path,
    settings: ProbeSettings,
    *,
    card_version: str = "1.0.0",
) -> tuple[Bundle, Mapping[str, float]]:
    """Evaluate a probe on each fold, then fit it on every track and write its bundle.

    One results file per fold is written into `<results>/<task name>/`. Probabilities are
    softmax(logits / T), where logits are the inputs of the softmax, or an SVM's margins; T is
    fitted with the hyperparameters, by nested cross-validation within the tracks that the probe is
    fitted on.

    Parameters
    ----------
    task : folder of `dataset`
    encoder : bundle of any encoder whose audio input is that of the task's windows
    out : folder of the bundle

    Returns
    -------
    The bundle, and output name → largest difference between ONNX and scikit-learn, relative to
    the output.

    Raises
    ------
    MissingInput, BadExport, ParityFailed, BundleError
    """
    data, base = TaskData.load(task), read(encoder)
    check_kind_and_source(settings)
    plan = Plan(settings, find_recipe(settings.kind, data.facts.kind), base)
    _check(plan, data)
    inputs = bundle_outputs(base, data)[settings.source]
    runs = []
    for fold in range(data.n_folds):
        cell = Cell(plan.method, base.card.output_shape("features")[0], fold, settings.seed)
        fit_and_predict = partial(_fit_and_predict, plan, data, inputs, fold)
        folder = results / data.facts.name
        runs.append(evaluate_fold(data, cell, folder, fit_and_predict, teacher=base.digest))
    chosen, fitted = _fit(plan, data, inputs, np.ones(len(inputs), bool))
    metrics = summary(runs)
    if fitted.is_classifier:
        metrics["temperature"] = round(fitted.temperature, 4)
    by_fold = {
        f"{name} of each fold": ", ".join(f"{run.settings[name]:g}" for run in runs)
        for name in chosen
    }
    return _write(plan, data, fitted, out, plan.facts | chosen | by_fold, metrics, card_version)


def _check(plan: Plan, data: TaskData) -> None:
    """Refuse an encoder or a task that would fail later, or give wrong results."""
    facts = data.facts
    require_encoder(plan.encoder, data)
    if facts.kind == "classification":
        absent = set(facts.labels) - set(data.prepared.tracks["label"])
        if absent:
            raise BadExport(
                facts.name,
                f"no track has the label {', '.join(sorted(absent))}; add one, or leave it out",
            )


def _fit(
    plan: Plan, data: TaskData, inputs: Inputs, training: NDArray[np.bool_]
) -> tuple[Hyperparameters, FittedProbe]:
    """Hyperparameters, weights and temperature, fitted on the tracks of a mask alone."""
    settings, targets = plan.settings, data.targets[training]
    folds = assign_inner_folds(data.prepared.tracks[training], settings.seed)
    if targets.ndim == 1 and any(len(set(targets[folds != fold])) < 2 for fold in set(folds)):
        raise BadExport(
            data.facts.name,
            "without some artists, the remaining tracks have one label alone; add other artists",
        )
    return fit_best(
        plan.recipe,
        inputs[training],
        targets,
        folds,
        len(data.facts.labels),
        strength=settings.strength,
        seed=settings.seed,
    )


def _fit_and_predict(plan: Plan, data: TaskData, inputs: Inputs, fold: int) -> Prediction:
    """Fit on all tracks but a fold's test part, and predict that part."""
    test = data.parts(fold) == "test"
    chosen, fitted = _fit(plan, data, inputs, ~test)
    temperature = {"temperature": fitted.temperature} if fitted.is_classifier else {}
    settings = plan.facts | chosen | temperature
    return Prediction.from_outputs(data.facts.kind, fitted.outputs(inputs[test]), settings)


def _write(
    plan: Plan,
    data: TaskData,
    fitted: FittedProbe,
    out: Path,
    hyperparameters: Mapping[str, Scalar],
    metrics: Mapping[str, Scalar],
    card_version: str,
) -> tuple[Bundle, Mapping[str, float]]:
    encoder, facts = plan.encoder, data.facts
    answer = "probabilities" if fitted.is_classifier else "values"
    sizes = {name: encoder.card.output_shape(name)[0] for name in SOURCES}
    head = to_head(fitted, plan.settings.source, sizes[plan.settings.source], answer)
    graph = add_head(encoder, head, plan.settings.source, answer)
    clips = np.unique(np.linspace(0, len(data.rows) - 1, PARITY_CLIPS).astype(int))
    waveforms = data.prepared.waveforms(data.rows[clips])
    stored = bundle_outputs(encoder, data)[plan.settings.source][clips]
    checked = CheckedGraph(head, check_outputs([fitted.predict(stored)], head, stored))
    return write_bundle(
        out,
        CheckedGraph(graph, check_graph(fitted, encoder, plan.settings.source, graph, waveforms)),
        {answer: len(facts.labels)} | sizes,
        make_provenance(
            method=f"probe: {plan.settings.kind} on {plan.settings.source}",
            teacher=encoder.digest,
            data=(*facts.data, *as_teacher(encoder)),
            seed=plan.settings.seed,
            hyperparameters=hyperparameters,
            metrics=metrics,
            split=f"{facts.split}; metrics of held-out folds; weights were trained on every track",
        ),
        kind="classifier" if fitted.is_classifier else "regressor",
        task=facts.card_task,
        names=facts.labels,
        groups=facts.groups,
        head=CheckedHead(checked, encoder, plan.settings.source),
        audio=encoder.card.audio,
        architecture=encoder.card.architecture,
        card_version=card_version,
    )
