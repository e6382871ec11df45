"""Cross-validation: fit on a fold's other parts, predict its test part, score, write the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, r2_score

from models.card import Scalar
from training.datasets.prepared import TaskData
from training.datasets.task import Kind
from training.transfer.results import Cell, Result, write_result


@dataclass(frozen=True)
class Prediction:
    """What a fitted model predicts for the test part of a fold.

    Parameters
    ----------
    predicted : class indices, shape (n_test,), or values, shape (n_test, n_targets)
    logits : shape (n_test, n_classes); None for a model without, and for regression
    settings : hyperparameters that the model was fitted with
    teacher : digest of the encoder's bundle, where the fit has chosen among several
    """

    predicted: NDArray[Any]
    logits: NDArray[np.float32] | None = None
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    teacher: str | None = None

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
    teacher: str | None,
) -> Result:
    """Run one cell and write its results file into a folder.

    Parameters
    ----------
    fit_and_predict : fits on all parts but the test part of `cell.fold`, and predicts that part
    teacher : digest of the encoder's bundle that the model depends on; the prediction's comes first
    """
    started = time.perf_counter()
    prediction = fit_and_predict()
    tracks, targets = held_out(data, cell.fold)
    parts, counts = np.unique(data.parts(cell.fold), return_counts=True)
    logits = prediction.logits
    result = Result(
        task=data.facts.name,
        kind=data.facts.kind,
        labels=data.facts.labels,
        **asdict(cell),
        teacher=prediction.teacher or teacher,
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
    """`accuracy` and `macro_f1` of classes; `r2` of values, averaged over the targets.

    Parameters
    ----------
    targets, predicted : int, shape (n_tracks,), or float, shape (n_tracks, n_targets)

    r² is 1 - residual / total sum of squares on these tracks: 0 for predicting their mean.
    """
    if kind == "classification":
        return {
            "accuracy": float((targets == predicted).mean()),
            "macro_f1": float(f1_score(targets, predicted, average="macro", zero_division=0)),
        }
    return {"r2": float(r2_score(targets, predicted))}
