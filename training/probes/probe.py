"""A probe: a scikit-learn model on what an encoder puts out, as a bundle that the service serves.

The encoder stays as it is, so the bundle has a head of its own beside the whole graph.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, read
from models.card import Scalar
from training.datasets.prepared import TaskData
from training.errors import BadExport
from training.export.bundle import PARITY_CLIPS, CheckedHead, as_teacher, provenance, write_bundle
from training.export.checked_graph import CheckedGraph, check_outputs
from training.probes.models import (
    INNER_FOLDS,
    FittedProbe,
    Inputs,
    Recipe,
    Settings,
    fit_best,
    inner_folds,
    recipe_of,
)
from training.probes.onnx_graph import add_head, check_graph, to_head
from training.transfer.encoder_outputs import bundle_outputs, require_encoder
from training.transfer.results import Cell, Result, to_result, write_result
from training.transfer.summary import summary

SOURCES = ("embedding", "features")


@dataclass(frozen=True)
class Plan:
    """A kind of probe, what it hears of which encoder, and how it is fitted.

    `strength` fixes the kind's first setting (C, or alpha); None chooses it by inner folds.
    """

    kind: str
    source: str
    recipe: Recipe
    encoder: Bundle
    strength: float | None
    seed: int

    @property
    def method(self) -> str:
        """Results of several encoders may lie in one folder."""
        return f"probe {self.kind} on {self.encoder.card.name} {self.source}"

    @property
    def facts(self) -> dict[str, Scalar]:
        return {"kind": self.kind, "input": self.source, "inner_folds": INNER_FOLDS}


def probe(
    task: Path,
    encoder: Path,
    out: Path,
    results: Path,
    *,
    kind: str = "logistic",
    source: str = "features",
    strength: float | None = None,
    seed: int = 0,
    card_version: str = "1.0.0",
) -> tuple[Bundle, Mapping[str, float]]:
    """Judge a probe on each fold, then fit it on every track and write its bundle.

    One results file a fold is written into `<results>/<task name>/`. Probabilities are
    softmax(logits / T), where logits are what comes before the softmax, or an SVM's margins; T is
    fitted with the settings, on folds within the tracks that the probe is fitted on.

    Parameters
    ----------
    task : folder of `dataset`
    encoder : its bundle, of any encoder that hears the windows of the task
    out : folder of the bundle
    kind : logistic, linear-svm, rbf-svm or mlp for classes; ridge, linear-svm, rbf-svm or mlp
        for targets
    source : the encoder's output that it hears, `embedding` or `features`
    strength : C of logistic and SVMs, alpha of ridge and mlp; None chooses by folds within folds

    Returns
    -------
    The bundle, and output name → largest difference between ONNX and scikit-learn, relative to
    the output.

    Raises
    ------
    MissingInput, BadExport, ParityFailed, BundleError
    """
    data, base = TaskData.load(task), read(encoder)
    plan = Plan(kind, source, recipe_of(kind, data.facts.kind), base, strength, seed)
    _check(plan, data)
    inputs = bundle_outputs(base, data)[source]
    folder = results / data.facts.name
    runs = [_run_fold(plan, data, inputs, fold, folder) for fold in range(data.n_folds)]
    settings, fitted = _fit(plan, data, inputs, np.ones(len(inputs), bool))
    metrics = summary(runs)
    if fitted.is_classifier:
        metrics["temperature"] = round(fitted.temperature, 4)
    chosen = {
        f"{name} of each fold": ", ".join(f"{run.settings[name]:g}" for run in runs)
        for name in settings
    }
    return _write(plan, data, fitted, out, plan.facts | settings | chosen, metrics, card_version)


def _check(plan: Plan, data: TaskData) -> None:
    """Refuse what would fail later, or be wrong."""
    facts = data.facts
    require_encoder(plan.encoder, data)
    if plan.source not in SOURCES:
        raise BadExport(f"the input {plan.source!r}", f"is none of {', '.join(SOURCES)}")
    if facts.kind == "classification":
        absent = set(facts.labels) - set(data.prepared.tracks["label"])
        if absent:
            raise BadExport(
                facts.name,
                f"no track has the label {', '.join(sorted(absent))}; add one, or leave it out",
            )


def _fit(
    plan: Plan, data: TaskData, inputs: Inputs, mine: NDArray[np.bool_]
) -> tuple[Settings, FittedProbe]:
    """Settings, weights and temperature, all of the tracks of a mask alone."""
    answers, folds = data.targets[mine], inner_folds(data.prepared.tracks[mine], plan.seed)
    if answers.ndim == 1 and any(len(set(answers[folds != fold])) < 2 for fold in set(folds)):
        raise BadExport(
            data.facts.name,
            "without some of its artists, its tracks have one label alone; add other artists",
        )
    return fit_best(
        plan.recipe,
        inputs[mine],
        answers,
        folds,
        len(data.facts.labels),
        strength=plan.strength,
        seed=plan.seed,
    )


def _run_fold(plan: Plan, data: TaskData, inputs: Inputs, fold: int, folder: Path) -> Result:
    """Fit on all tracks but a fold's test part, judge on that, and write the results file."""
    started = time.perf_counter()
    test = data.parts(fold) == "test"
    settings, fitted = _fit(plan, data, inputs, ~test)
    width = plan.encoder.card.output_shape("features")[0]
    cell = Cell(plan.method, width, fold, plan.seed)
    outputs, facts = fitted.outputs(inputs[test]), plan.facts | settings
    is_classes = fitted.is_classifier
    result = to_result(
        data,
        cell,
        outputs.argmax(1) if is_classes else outputs,
        outputs if is_classes else None,
        teacher=plan.encoder.digest,
        settings=facts | ({"temperature": fitted.temperature} if is_classes else {}),
    )
    result = result.model_copy(update={"seconds": round(time.perf_counter() - started, 1)})
    write_result(folder / cell.file, result)
    return result


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
    head = to_head(fitted, plan.source, sizes[plan.source], answer)
    graph = add_head(encoder, head, plan.source, answer)
    clips = np.unique(np.linspace(0, len(data.rows) - 1, PARITY_CLIPS).astype(int))
    waveforms = data.prepared.waveforms(data.rows[clips])
    stored = bundle_outputs(encoder, data)[plan.source][clips]
    checked = CheckedGraph(head, check_outputs([fitted.answers(stored)], head, stored))
    return write_bundle(
        out,
        CheckedGraph(graph, check_graph(fitted, encoder, plan.source, graph, waveforms)),
        {answer: len(facts.labels)} | sizes,
        provenance(
            method=f"probe: {plan.kind} on {plan.source}",
            teacher=encoder.digest,
            data=(*facts.data, *as_teacher(encoder)),
            seed=plan.seed,
            hyperparameters=hyperparameters,
            metrics=metrics,
            split=f"{facts.split}; metrics of held-out folds; the weights saw every track",
        ),
        kind="classifier" if fitted.is_classifier else "regressor",
        task=facts.card_task,
        names=facts.labels,
        head=CheckedHead(checked, encoder, plan.source),
        audio=encoder.card.audio,
        architecture=encoder.card.architecture,
        card_version=card_version,
    )
