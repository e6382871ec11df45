"""Probe: a scikit-learn model on a frozen encoder's outputs, cross-validated and exported.

The encoder is unchanged, so the bundle has a head beside the whole graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.bundle import Bundle
from models.card import Scalar
from training.datasets.prepared import TaskData
from training.errors import BadExport, BelowBaseline
from training.export.bundle import as_teacher, make_provenance
from training.probes.head_bundle import Destination, write_head_bundle
from training.probes.head_graph import input_name
from training.probes.inputs import ProbeInput, load_inputs, load_tasks, mel_inputs
from training.probes.models import FittedProbe, find_recipe
from training.probes.nested import (
    BASELINE,
    Procedure,
    Report,
    describe_run,
    evaluate,
    fit,
    make_baseline,
    make_procedure,
)
from training.probes.search import Choice
from training.probes.settings import ProbeSettings, check_settings
from training.probes.sklearn_to_onnx import to_head
from training.transfer.results import Result
from training.transfer.settings import MEASURE
from training.transfer.summary import summary


def probe(
    tasks: Sequence[Path],
    encoders: Sequence[Path],
    destination: Destination,
    results: Path,
    settings: ProbeSettings,
    *,
    baseline_task: Path | None = None,
    report: Report = lambda result: None,
) -> tuple[Bundle, Mapping[str, float]]:
    """Evaluate a probe on each fold, then fit it on every track and write its bundle.

    Input, kind and hyperparameters are chosen together by nested cross-validation within the tracks
    that the probe is fitted on, so that the held-out folds judge the choice too. One results file
    per fold is written into `<results>/<task name>/`. Probabilities are softmax(logits / T), where
    logits are the inputs of the softmax, or an SVM's margins; T is fitted with the hyperparameters.

    Parameters
    ----------
    tasks : folders of `dataset`: of the same tracks, where encoders need different windows
    encoders : bundles of any encoders whose audio input is that of a task's windows
    baseline_task : folder of `dataset` with whole windows of the same tracks: the same search on
        their mel statistics is judged on the same folds, and the probe's mean must be above its
    report : called with the result of each fold

    Returns
    -------
    The bundle, and output name → largest difference between ONNX and scikit-learn, relative to
    the output.

    Raises
    ------
    MissingInput, OtherTracks, BelowBaseline, BadExport, ParityFailed, BundleError
    """
    check_settings(settings)
    data, *others = load_tasks(tasks)
    for kind in settings.kinds:
        find_recipe(kind, data.facts.kind)
    inputs = load_inputs([data, *others], encoders, settings.sources)
    _require_every_label(data)
    mel = mel_inputs(baseline_task, data) if baseline_task else None
    procedure, folder = make_procedure(data, inputs, settings), results / data.facts.name
    runs = evaluate(procedure, folder, report)
    metrics = summary(runs)
    if mel is not None:
        baseline = evaluate(make_baseline(data, mel, settings.seed), folder, report)
        metrics |= _require_better(runs, baseline)
    choice, fitted = fit(procedure, np.ones(len(data.rows), bool))
    if fitted.is_classifier:
        metrics["temperature"] = round(fitted.temperature, 4)
    hyperparameters = procedure.describe(choice) | _describe_folds(procedure, choice, runs)
    chosen = procedure.inputs[choice.input_name]
    return _write(chosen, choice, fitted, destination, hyperparameters, metrics, settings.seed)


def _require_every_label(data: TaskData) -> None:
    facts = data.facts
    if facts.kind == "classification":
        absent = set(facts.labels) - set(data.prepared.tracks["label"])
        if absent:
            raise BadExport(
                facts.name,
                f"no track has the label {', '.join(sorted(absent))}; add one, or leave it out",
            )


def _require_better(runs: Sequence[Result], baseline: Sequence[Result]) -> dict[str, Scalar]:
    """Metrics of the baseline for the card; refuse a probe whose mean is not above the baseline's.

    Raises
    ------
    BelowBaseline
    """
    measure = MEASURE[runs[0].kind]
    probe_mean = float(np.mean([run.measure for run in runs]))
    values = [run.measure for run in baseline]
    baseline_mean = float(np.mean(values))
    if not probe_mean > baseline_mean:
        raise BelowBaseline(measure, probe_mean, baseline_mean, len(baseline))
    return {
        f"{BASELINE}: {measure}: mean": round(baseline_mean, 4),
        f"{BASELINE}: {measure}: standard deviation": round(float(np.std(values)), 4),
    }


def _describe_folds(
    procedure: Procedure, choice: Choice, runs: Sequence[Result]
) -> dict[str, Scalar]:
    """What each fold chose; where there was a choice of input or kind, also from what."""
    space = procedure.space
    if len(space.inputs) == len(space.kinds) == 1:
        return {
            f"{name} of each fold": ", ".join(f"{run.settings[name]:g}" for run in runs)
            for name in choice.hyperparameters
        }
    return {
        "chosen from": f"{', '.join(space.kinds)} on {', '.join(space.inputs)}",
        "choice of each fold": "; ".join(map(describe_run, runs)),
    }


def _write(
    chosen: ProbeInput,
    choice: Choice,
    fitted: FittedProbe,
    destination: Destination,
    hyperparameters: Mapping[str, Scalar],
    metrics: Mapping[str, Scalar],
    seed: int,
) -> tuple[Bundle, Mapping[str, float]]:
    facts, encoder = chosen.data.facts, chosen.encoder
    answer = "probabilities" if fitted.is_classifier else "values"
    provenance = make_provenance(
        method=f"probe: {choice.kind} on {chosen.source_name}",
        teacher=encoder.digest,
        data=(*facts.data, *as_teacher(encoder)),
        seed=seed,
        hyperparameters=hyperparameters,
        metrics=metrics,
        split=f"{facts.split}; metrics of held-out folds; weights were trained on every track",
    )
    return write_head_bundle(
        destination,
        fitted,
        to_head(fitted, input_name(chosen.source), chosen.values.shape[1], answer),
        chosen,
        provenance,
        "classifier" if fitted.is_classifier else "regressor",
        facts.labels,
    )
