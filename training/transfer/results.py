"""Results files: one JSON file per run, with its settings, metrics and predictions per track."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from models.atomic_write import write_atomically
from models.card import Scalar
from training.datasets.task import Kind
from training.errors import MissingInput, MixedResults
from training.transfer.settings import MEASURE


class Result(BaseModel):
    """Schema of a results file: one run on the test part of one fold.

    `targets` and `predicted` hold a class index per track, or a row of values. `logits` are the
    outputs before the softmax, a row per track (log-probabilities, where a model has no logits);
    None where a classifier predicts classes alone. In the file, `targets` is called `answers`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

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
    targets: list[int] | list[list[float]] = Field(
        validation_alias="answers", serialization_alias="answers"
    )
    predicted: list[int] | list[list[float]]
    logits: list[list[float]] | None = None

    @property
    def measure(self) -> float:
        """The metric that tasks of this kind are compared by: see `MEASURE`."""
        return self.metrics[MEASURE[self.kind]]


@dataclass(frozen=True)
class Cell:
    """One run of the grid; `method` is a transfer method, one of `BASELINES`, or a probe."""

    method: str
    width: int
    fold: int
    seed: int

    @property
    def file(self) -> str:
        slug = self.method.lower().replace(" ", "-")
        return f"{slug}-w{self.width}-f{self.fold}-s{self.seed}.json"


def write_result(path: Path, result: Result) -> None:
    """Write a results file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as part:
        part.write_text(result.model_dump_json(by_alias=True) + "\n")


def read_results(folder: Path) -> list[Result]:
    """Every result below a folder, ordered by task, method, width, fold and seed.

    Raises
    ------
    MissingInput
        Where there is none.
    MixedResults
        Where runs of one task held out other tracks as the same fold.
    """
    results = [
        Result.model_validate_json(path.read_bytes()) for path in folder.rglob("*-w*-f*-s*.json")
    ]
    if not results:
        raise MissingInput(folder, "tasteprint-train compare")
    _refuse_mixed(results, folder)
    return sorted(results, key=lambda run: (run.task, run.method, run.width, run.fold, run.seed))


def _refuse_mixed(results: list[Result], folder: Path) -> None:
    """Runs of one task are of one division into folds; others are of an earlier version of it."""
    first: dict[tuple[str, int], Result] = {}
    for run in results:
        known = first.setdefault((run.task, run.fold), run)
        if (known.tracks, known.targets) != (run.tracks, run.targets):
            raise MixedResults(folder, run.task, run.fold, known.method, run.method)
    fold_of: dict[tuple[str, str], Result] = {}
    for run in first.values():
        for track in run.tracks:
            known = fold_of.setdefault((run.task, track), run)
            if known.fold != run.fold:
                raise MixedResults(folder, run.task, run.fold, known.method, run.method)
