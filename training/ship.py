"""The chosen method, with nothing held out to judge it, as a bundle that the service serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from models.bundle import Bundle, read
from models.card import Data, Provenance, Scalar
from training.calibration import cross_fitted, expected_calibration_error, fit_temperature
from training.errors import BadExport
from training.export import PARITY_CLIPS, WINDOW, describe_head, provenance, write_bundle
from training.graph import (
    OutputLayer,
    WaveformTaskModel,
    check_parity,
    load_network_from_bundle,
    to_onnx,
)
from training.networks.cf_estimator import EMBEDDING_DIM
from training.networks.task_model import TaskModel
from training.outputs import bundle_outputs, require_encoder
from training.results import Result, read_results
from training.task_data import TaskData
from training.transfer import METHODS, TransferSettings, train, used_settings


def ship(
    task: Path,
    teacher: Path,
    results: Path,
    out: Path,
    *,
    method: str,
    width: int,
    seed: int = 0,
    card_version: str = "1.0.0",
    accelerator: str = "auto",
) -> tuple[Bundle, Mapping[str, float]]:
    """Train once more, on all tracks but a validation part, with the settings of `compare`.

    The card's metrics are of `compare`'s runs on held-out folds, since nothing is held out here;
    so is the temperature that calibrates the probabilities.

    Raises
    ------
    MissingInput, BadExport, ParityFailed, BundleError
    """
    data, source = TaskData.load(task), read(teacher)
    require_encoder(source, data)
    runs = runs_of(results / data.facts.name, method, width)
    if {run.teacher for run in runs} - {None, source.digest}:
        raise BadExport(f"{method} at width {width}", "was compared with another teacher")
    settings = replace(settings_of(runs[0]), seed=seed, accelerator=accelerator)
    model = train(
        data,
        results / data.facts.name / f"ship-{method}-w{width}-s{seed}",
        settings,
        teacher=load_network_from_bundle(source) if method in ("init", "fix") else None,
        taught=bundle_outputs(source, data)["embedding"] if method in ("kd", "fix") else None,
        parts=data.parts(None),
        teacher_digest=source.digest,
    )
    metrics = summary(runs)
    if data.facts.kind == "classification":
        logits, answers = held_out_logits(runs)
        temperature = fit_temperature(np.concatenate(logits), np.concatenate(answers))
        model.scale.div_(temperature)
        metrics["temperature"] = round(temperature, 4)
    used = used_settings(settings)
    del used["fold"]  # none was held out
    facts = provenance(
        method=method,
        teacher=source.digest if method != "base" else None,
        data=(*data.facts.data, *(as_teacher(source) if method != "base" else ())),
        seed=seed,
        hyperparameters=used,
        metrics=metrics,
        split=f"{data.facts.split}; metrics of held-out folds; the shipped weights saw every "
        "track, an eighth of them only to choose the checkpoint",
    )
    return _write(model, data, source if method == "fix" else None, out, facts, card_version)


def runs_of(results: Path, method: str, width: int) -> list[Result]:
    """The runs of one method and width, of which the card tells.

    Raises
    ------
    BadExport
        Where the method is not one to ship, or was not run.
    """
    if method not in METHODS:
        raise BadExport(f"the method {method!r}", f"is none of {', '.join(METHODS)}")
    runs = [run for run in read_results(results) if (run.method, run.width) == (method, width)]
    if not runs:
        raise BadExport(f"{method} at width {width}", f"has no run in {results}; run `compare`")
    return runs


def settings_of(run: Result) -> TransferSettings:
    return TransferSettings(**run.settings)  # type: ignore[arg-type]


def summary(runs: list[Result]) -> dict[str, Scalar]:
    """Mean and standard deviation over runs, and the calibration error before and after."""
    metrics: dict[str, Scalar] = {
        "runs": len(runs),
        "folds": len({run.fold for run in runs}),
        "seeds": len({run.seed for run in runs}),
        "held-out clips": len({track for run in runs for track in run.tracks}),
    }
    for name in runs[0].metrics:
        values = [run.metrics[name] for run in runs]
        metrics[f"{name}: mean"] = round(float(np.mean(values)), 4)
        metrics[f"{name}: standard deviation"] = round(float(np.std(values)), 4)
    if runs[0].kind == "classification":
        before, after = calibration_error(runs)
        metrics["calibration error (15 bins): before"] = round(before, 4)
        if after is not None:
            metrics["calibration error (15 bins): after"] = round(after, 4)
    return metrics


def held_out_logits(
    runs: list[Result],
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int64]]]:
    """Of each fold, over all seeds: logits (n, n_classes) and answers (n,)."""
    folds = sorted({run.fold for run in runs})
    logits = [[np.array(run.logits, np.float32) for run in runs if run.fold == f] for f in folds]
    answers = [[np.array(run.answers) for run in runs if run.fold == fold] for fold in folds]
    return [np.concatenate(each) for each in logits], [np.concatenate(each) for each in answers]


def calibration_error(runs: list[Result]) -> tuple[float, float | None]:
    """Expected calibration error on held-out clips, before and after.

    With the temperature that a run states, fitted within its training part; else with one that is
    cross-fitted over folds. Of one fold nothing is left to fit on, and the second is None.
    """
    runs = sorted(runs, key=lambda run: run.fold)
    logits, answers = held_out_logits(runs)
    before = softmax(np.concatenate(logits), axis=1)
    own = [float(run.settings.get("temperature") or 0) for run in runs]
    if all(own):
        scaled = [np.array(run.logits) / each for run, each in zip(runs, own, strict=True)]
        after = softmax(np.concatenate(scaled), axis=1)
    elif len(logits) > 1:
        after = cross_fitted(logits, answers)
    else:
        after = None
    everything = np.concatenate(answers)
    return (
        expected_calibration_error(before, everything),
        None if after is None else expected_calibration_error(after, everything),
    )


def as_teacher(source: Bundle) -> tuple[Data, ...]:
    """What the teacher was trained on: its licence holds for what it taught, too."""
    return tuple(
        each.model_copy(update={"use": f"teacher ({source.card.name}): {each.use}"})
        for each in source.card.provenance.data
    )


def _write(
    model: TaskModel,
    data: TaskData,
    shared: Bundle | None,
    out: Path,
    facts: Provenance,
    card_version: str,
) -> tuple[Bundle, Mapping[str, float]]:
    """Write the bundle, with a head of its own where it leaves the encoder `shared` as it is."""
    is_classifier = data.facts.kind == "classification"
    answer = "probabilities" if is_classifier else "values"
    width = model.encoder.width
    assert isinstance(width, int)
    outputs = {answer: len(data.facts.labels), "embedding": EMBEDDING_DIM, "features": width}
    exported = WaveformTaskModel(model, softmax=is_classifier).eval()
    graph = to_onnx(exported, "waveform", WINDOW.window_samples, list(outputs))
    errors = check_parity(exported, graph, data.prepared.waveforms(data.rows[:PARITY_CLIPS]))
    head = None
    if shared is not None:
        layer = OutputLayer(model, softmax=is_classifier).eval()
        content = to_onnx(layer, "embedding", EMBEDDING_DIM, [answer])
        embedding = bundle_outputs(shared, data)["embedding"][:PARITY_CLIPS]
        errors |= {
            f"head: {name}": e for name, e in check_parity(layer, content, embedding).items()
        }
        head = content, describe_head(content, shared, "embedding")
    written = write_bundle(
        out,
        graph,
        outputs,
        facts,
        kind="classifier" if is_classifier else "regressor",
        task=data.facts.answers,
        names=data.facts.labels,
        head=head,
        card_version=card_version,
    )
    return written, errors
