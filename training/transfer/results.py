"""One file a run: what was trained, what it said of the held-out tracks, and how good that is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import f1_score, r2_score

from models.card import Scalar
from models.files import write_atomically
from training.datasets.prepared import TaskData
from training.datasets.task import Kind
from training.errors import MissingInput

# What tasks of a kind are compared by.
MEASURE: dict[Kind, str] = {"classification": "accuracy", "regression": "r2"}


class Result(BaseModel):
    """A run on one fold; `predicted` holds class indices, or a row of values a track.

    `logits` are the outputs before the softmax (or log-probabilities, where a model has no
    logits), a row a track; None where a classifier gives classes alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    kind: Kind
    labels: tuple[str, ...]
    method: str
    width: int
    fold: int
    seed: int
    teacher: str | None = None
    settings: dict[str, Scalar] = {}
    counts: dict[str, int]
    metrics: dict[str, float]
    seconds: float
    tracks: tuple[str, ...]
    answers: list[int] | list[list[float]]
    predicted: list[int] | list[list[float]]
    logits: list[list[float]] | None = None


def score(
    kind: Kind, answers: NDArray[np.int64 | np.float32], predicted: NDArray[np.int64 | np.float32]
) -> dict[str, float]:
    """`accuracy` and `macro_f1` of classes; `r2` of targets, each target's and then their mean.

    Parameters
    ----------
    answers, predicted : int, shape (n_tracks,), or float, shape (n_tracks, n_targets)

    r² is 1 - residual / total sum of squares on these tracks: 0 for who always says their mean.
    """
    if kind == "classification":
        return {
            "accuracy": float((answers == predicted).mean()),
            "macro_f1": float(f1_score(answers, predicted, average="macro", zero_division=0)),
        }
    return {"r2": float(r2_score(answers, predicted))}


def write_result(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as part:
        part.write_text(result.model_dump_json() + "\n")


def read_results(folder: Path) -> list[Result]:
    """Every result below a folder, in the order of task, method, width, fold and seed.

    Raises
    ------
    MissingInput
        Where there is none.
    """
    results = [
        Result.model_validate_json(path.read_bytes()) for path in folder.rglob("*-w*-f*-s*.json")
    ]
    if not results:
        raise MissingInput(folder, "tasteprint-train compare")
    return sorted(
        results, key=lambda each: (each.task, each.method, each.width, each.fold, each.seed)
    )


@dataclass(frozen=True)
class Cell:
    """One run of the grid; `method` is a transfer method or one of `BASELINES`."""

    method: str
    width: int
    fold: int
    seed: int

    @property
    def file(self) -> str:
        slug = self.method.lower().replace(" ", "-")
        return f"{slug}-w{self.width}-f{self.fold}-s{self.seed}.json"


def _held_out(data: TaskData, fold: int) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Track ids and answers of a fold's test part."""
    test = data.parts(fold) == "test"
    return tuple(data.prepared.tracks.loc[test, "track_id"]), data.answers[test]


def to_result(
    data: TaskData,
    cell: Cell,
    predicted: NDArray[Any],
    logits: NDArray[np.float32] | None,
    **facts: Any,
) -> Result:
    """What a run said of a fold's test part, and how good that is."""
    parts = data.parts(cell.fold)
    names, counts = np.unique(parts, return_counts=True)
    tracks, answers = _held_out(data, cell.fold)
    return Result(
        task=data.facts.name,
        kind=data.facts.kind,
        labels=data.facts.labels,
        **asdict(cell),
        **facts,
        counts=dict(zip(names.tolist(), counts.tolist(), strict=True)),
        metrics=score(data.facts.kind, answers, predicted),
        seconds=0.0,
        tracks=tracks,
        answers=answers.round(4).tolist(),
        predicted=predicted.round(4).tolist(),
        logits=None if logits is None else logits.round(4).tolist(),
    )
