"""Head for a tagger's output: each label's own probability, calibrated where labels allow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from models.bundle import Bundle
from models.card import Provenance, Scalar
from training.datasets.folds import assign_folds
from training.datasets.prepared import TaskData
from training.errors import BadExport, BelowBaseline
from training.export.bundle import as_teacher, make_provenance
from training.export.parity import OPSET
from training.probes.head_bundle import Destination, write_head_bundle
from training.probes.head_graph import PREFIX, finish, initializers, tensor
from training.probes.inputs import ProbeInput, load_inputs, mel_inputs
from training.probes.tag_baseline import BASELINE, baseline_probabilities
from training.probes.tag_calibration import (
    MARGIN,
    MIN_TRACKS,
    TagCalibration,
    fit_calibration,
    held_out_probabilities,
)
from training.probes.tag_metrics import RANKING, tag_metrics


def calibrate_tags(
    task: Path,
    encoder: Path,
    destination: Destination,
    *,
    source: str = "tags",
    baseline_task: Path | None = None,
    seed: int = 0,
) -> tuple[Bundle, Mapping[str, float]]:
    """Calibrate an encoder's tags on a multilabel task, and write the bundle of a classifier.

    Parameters
    ----------
    task : folder of `dataset`, of kind multilabel
    encoder : bundle with an output of probabilities; where its card states labels, they name them,
        and the task may lack some; otherwise they are the task's, in its order
    source : name of that output
    baseline_task : folder of `dataset` with whole windows of the same tracks: a logistic regression
        of each label on their mel statistics is judged on the same folds, and the mean AUC of the
        calibrated tags must be above its

    Returns
    -------
    The bundle, and output name → largest difference between ONNX and numpy, relative to the output.

    Raises
    ------
    MissingInput, OtherTracks, BelowBaseline, BadExport, ParityFailed, BundleError
    """
    data = TaskData.load(task)
    if data.facts.kind != "multilabel":
        reason = (
            f"it is a {data.facts.kind} task; give one that says of each label whether it holds"
        )
        raise BadExport(data.facts.name, reason)
    (chosen,) = load_inputs([data], [encoder], [(source,)])
    labels = chosen.encoder.card.labels or data.facts.labels
    probabilities, targets = chosen.values, align_targets(data, labels)
    if probabilities.shape[1] != len(labels):
        raise BadExport(
            f"encoder {chosen.encoder.card.name}",
            f"{source} has {probabilities.shape[1]} outputs, and there are {len(labels)} labels",
        )
    folds = _folds(data, seed)
    before = tag_metrics(probabilities, targets)
    after = tag_metrics(held_out_probabilities(probabilities, targets, folds), targets)
    baseline = _judge_baseline(baseline_task, data, targets, folds, seed)
    _require_better(after, baseline, len(np.unique(folds)))
    calibration = fit_calibration(probabilities, targets, folds)
    metrics = _describe(calibration, labels, before, after)
    metrics |= {f"{BASELINE}: {name}": round(value, 4) for name, value in baseline.items()}
    metrics["held-out clips"] = len(targets)
    return write_head_bundle(
        destination,
        calibration,
        to_head(calibration, source),
        chosen,
        _provenance(chosen, seed, metrics),
        "classifier",
        labels,
        multilabel=True,
    )


def _judge_baseline(
    folder: Path | None,
    data: TaskData,
    targets: NDArray[np.float32],
    folds: NDArray[np.int64],
    seed: int,
) -> dict[str, float]:
    """Metrics of the baseline on the held-out folds; empty without a folder of whole windows.

    Raises
    ------
    MissingInput, OtherTracks
    BadExport
        Where no label can be judged.
    """
    if folder is None:
        return {}
    mel = mel_inputs(folder, data)
    tracks = data.prepared.tracks
    metrics = tag_metrics(baseline_probabilities(mel, targets, tracks, folds, seed), targets)
    if not metrics:
        reason = (
            f"no label has {MIN_TRACKS} tracks with it and {MIN_TRACKS} without, so none can be "
            "compared with the baseline; add tracks, or leave out the baseline's task"
        )
        raise BadExport(data.facts.name, reason)
    return metrics


def _require_better(
    found: Mapping[str, float], baseline: Mapping[str, float], n_folds: int
) -> None:
    """Refuse tags that order tracks no better than the baseline.

    Raises
    ------
    BelowBaseline
    """
    measure = "macro AUC"
    if baseline and not found[measure] > baseline[measure]:
        raise BelowBaseline(measure, found[measure], baseline[measure], n_folds)


def align_targets(data: TaskData, labels: tuple[str, ...]) -> NDArray[np.float32]:
    """The task's targets in the order of other labels; NaN for those that the task lacks.

    Raises
    ------
    BadExport
        Where the two share no label.
    """
    columns = {label: column for column, label in enumerate(data.facts.labels)}
    if not columns.keys() & set(labels):
        raise BadExport(data.facts.name, f"it has none of the encoder's labels {', '.join(labels)}")
    aligned = np.full((len(data.rows), len(labels)), np.nan, np.float32)
    for index, label in enumerate(labels):
        if label in columns:
            aligned[:, index] = data.targets[:, columns[label]]
    return aligned


def _folds(data: TaskData, seed: int) -> NDArray[np.int64]:
    """The task's folds; by artist where the set states parts instead."""
    tracks = data.prepared.tracks
    if "fold" in tracks:
        return np.asarray(tracks["fold"], np.int64)
    return assign_folds(tracks, seed=seed)


def _describe(
    calibration: TagCalibration,
    labels: tuple[str, ...],
    before: Mapping[str, float],
    after: Mapping[str, float],
) -> dict[str, Scalar]:
    """Metrics for the card; a list of labels is a string.

    A positive slope leaves the order of a label's tracks, so metrics of the order are stated once.
    """
    metrics: dict[str, Scalar] = {}
    for name in before:
        if name in RANKING:
            metrics[name] = round(before[name], 4)
            continue
        metrics[f"{name}: before"] = round(before[name], 4)
        metrics[f"{name}: after"] = round(after[name], 4)
    named = np.array(labels)
    metrics["calibrated labels"] = ", ".join(named[calibration.is_calibrated])
    metrics["labels as the encoder states them"] = ", ".join(named[~calibration.is_calibrated])
    return metrics


def _provenance(chosen: ProbeInput, seed: int, metrics: Mapping[str, Scalar]) -> Provenance:
    facts, encoder = chosen.data.facts, chosen.encoder
    return make_provenance(
        method=f"Platt scaling of each label of {chosen.source_name}",
        teacher=encoder.digest,
        data=(*facts.data, *as_teacher(encoder)),
        seed=seed,
        hyperparameters={"input": chosen.source_name, "min_tracks": MIN_TRACKS},
        metrics=metrics,
        split=f"{facts.split}; metrics of held-out folds; scaled on every track. The probability "
        f"of a calibrated label is that of {facts.name} stating it for a track, at the base rate "
        "of its tracks; the probabilities of other labels are the encoder's",
    )


def to_head(calibration: TagCalibration, source: str) -> bytes:
    """The graph from probabilities to calibrated `probabilities`, both (batch, n_labels).

    In float64: in float32, 1 - p has few digits where p is near 1.
    """
    n_labels = len(calibration.slopes)
    constants = {
        "low": np.array(MARGIN),
        "high": np.array(1 - MARGIN),
        "one": np.array(1.0),
        "slopes": calibration.slopes,
        "offsets": calibration.offsets,
    }
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Cast", ["input"], "double", {"to": TensorProto.DOUBLE}),
        ("Clip", ["double", "low", "high"], "clipped", {}),
        ("Log", ["clipped"], "log", {}),
        ("Sub", ["one", "clipped"], "rest", {}),
        ("Log", ["rest"], "log_rest", {}),
        ("Sub", ["log", "log_rest"], "logits", {}),
        ("Mul", ["logits", "slopes"], "scaled", {}),
        ("Add", ["scaled", "offsets"], "calibrated", {}),
        ("Sigmoid", ["calibrated"], "probabilities", {}),
        ("Cast", ["probabilities"], "float", {"to": TensorProto.FLOAT}),
    ]
    nodes = [
        helper.make_node(op, [PREFIX + name for name in inputs], [PREFIX + result], **more)
        for op, inputs, result, more in steps
    ]
    nodes[0].input[:], nodes[-1].output[:] = [source], ["probabilities"]
    ends = [tensor(source, n_labels)], [tensor("probabilities", n_labels)]
    graph = helper.make_graph(nodes, "head", *ends, initializers(constants))
    opsets = [helper.make_opsetid("", OPSET)]
    ir_version = helper.find_min_ir_version_for(opsets)
    return finish(helper.make_model(graph, ir_version=ir_version), opsets)
