"""Cross-validation: fit on a fold's other parts, predict its test part, score, write the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, r2_score, roc_auc_score

from models.bundle import Bundle
from models.card import Scalar
from training.datasets.prepared import TaskData
from training.datasets.task import Kind
from training.errors import BadDataset
from training.transfer.results import Cell, Result, write_result

# Of a label's ranking, fewer tracks with it, or without it, say nothing.
MIN_LABEL_TRACKS = 5


@dataclass(frozen=True)
class Prediction:
    """What a fitted model predicts for the test part of a fold.

    Parameters
    ----------
    predicted : class indices, shape (n_test,), or values, shape (n_test, n_targets)
    logits : shape (n_test, n_classes); None for a model without, and for regression
    settings : hyperparameters that the model was fitted with
    teacher : the encoder, where the fit has chosen among several
    """

    predicted: NDArray[Any]
    logits: NDArray[np.float32] | None = None
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    teacher: Bundle | None = None

    @classmethod
    def from_outputs(
        cls, kind: Kind, outputs: NDArray[np.float32], settings: Mapping[str, Scalar]
    ) -> Prediction:
        """Of logits or values, shape (n_test, n_outputs)."""
        if kind == "classification":
            return cls(outputs.argmax(1), outputs, settings)
        return cls(outputs, None, settings)


def evaluate_fold(
    data: TaskData,
    cell: Cell,
    folder: Path,
    fit_and_predict: Callable[[], Prediction],
    *,
    teacher: Bundle | None,
    start: Bundle | None = None,
) -> Result:
    """Run one cell and write its results file into a folder.

    Parameters
    ----------
    fit_and_predict : fits on all parts but the test part of `cell.fold`, and predicts that part
    teacher : the encoder that the model depends on; the prediction's comes first
    start : the bundle whose weights the fit starts from
    """
    started = time.perf_counter()
    prediction = fit_and_predict()
    tracks, targets = held_out(data, cell.fold)
    parts, counts = np.unique(data.parts(cell.fold), return_counts=True)
    logits, source = prediction.logits, prediction.teacher or teacher
    result = Result(
        task=data.facts.name,
        kind=data.facts.kind,
        labels=data.facts.labels,
        split=data.facts.split,
        **asdict(cell),
        teacher=source.digest if source else None,
        teacher_name=source.card.name if source else None,
        start=start.digest if start else None,
        start_name=start.card.name if start else None,
        space=in_space.card.space if (in_space := source or start) else None,
        settings=dict(prediction.settings),
        counts=dict(zip(parts.tolist(), counts.tolist(), strict=True)),
        metrics=score(data.facts.kind, targets, prediction.predicted),
        seconds=round(time.perf_counter() - started, 1),
        tracks=tracks,
        targets=targets.round(4).tolist(),
        predicted=prediction.predicted.round(4).tolist(),
        logits=None if logits is None else logits.round(4).tolist(),
    )
    write_result(folder / cell.file, result)
    return result


def held_out(data: TaskData, fold: int) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Track ids and targets of a fold's test part."""
    test = data.parts(fold) == "test"
    return tuple(data.prepared.tracks.loc[test, "track_id"]), data.targets[test]


def score(
    kind: Kind, targets: NDArray[np.int64 | np.float32], predicted: NDArray[np.int64 | np.float32]
) -> dict[str, float]:
    """Metrics of the predictions for a kind of task, by scikit-learn.

    `accuracy` and `macro_f1` of classes; `r2` of values, averaged over the targets;
    `mean_average_precision` and `macro_roc_auc` of several labels.

    Parameters
    ----------
    targets, predicted : int, shape (n_tracks,), or float, shape (n_tracks, n_targets); for
        several labels the targets are 0 and 1, and any score that grows with the probability ranks

    r² is 1 - residual / total sum of squares on these tracks: 0 for predicting their mean.
    """
    if kind == "classification":
        return {
            "accuracy": float((targets == predicted).mean()),
            "macro_f1": float(f1_score(targets, predicted, average="macro", zero_division=0)),
        }
    if kind == "multilabel":
        return _score_labels(targets, predicted)
    return {"r2": float(r2_score(targets, predicted))}


def _score_labels(targets: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    """Means over the labels that enough tracks have, and enough have not; their number too.

    Raises
    ------
    BadDataset
        Where there is no such label.
    """
    positives = targets.sum(0)
    judged = np.minimum(positives, len(targets) - positives) >= MIN_LABEL_TRACKS
    if not judged.any():
        raise BadDataset(
            f"of {len(targets)} test tracks",
            f"no label is on {MIN_LABEL_TRACKS} of the tracks or more and absent from as many; use "
            "more tracks, or more frequent labels",
        )
    kept = targets[:, judged], predicted[:, judged]
    return {
        "mean_average_precision": float(average_precision_score(*kept, average="macro")),
        "macro_roc_auc": float(roc_auc_score(*kept, average="macro")),
        "judged_labels": float(judged.sum()),
    }
