"""Results files: one JSON file per run, with its settings, metrics and predictions per track."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.atomic_write import write_atomically
from models.card import Scalar
from training.datasets.task import Kind
from training.errors import MissingInput, MixedResults, MixedTeachers
from training.transfer.settings import BASELINES, MEASURE, METHODS


def _is_none(value: object) -> bool:
    return value is None


class Result(BaseModel):
    """Schema of a results file: one run on the test part of one fold.

    `targets` and `predicted` hold a class index per track, or a row of values. `logits` are the
    outputs before the softmax, a row per track (log-probabilities, where a model has no logits);
    None where a classifier predicts classes alone. In the file, `targets` is called `answers`.
    `teacher` and `start` are digests of the bundles whose outputs were used, and whose weights the
    run started from; `space` is the CF space of the first's embedding, or else of the second's.
    `variant` tells runs of one method with other teachers or losses apart. Older files have none of
    these but `teacher`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    task: str
    kind: Kind
    labels: tuple[str, ...]
    split: str = ""
    method: str
    variant: Annotated[str, Field(exclude_if=lambda variant: not variant)] = ""
    width: int
    fold: int
    seed: int
    teacher: str | None = None
    teacher_name: Annotated[str | None, Field(exclude_if=_is_none)] = None
    start: Annotated[str | None, Field(exclude_if=_is_none)] = None
    start_name: Annotated[str | None, Field(exclude_if=_is_none)] = None
    space: Annotated[str | None, Field(exclude_if=_is_none)] = None
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
    def label(self) -> str:
        """What reports call the method: its name, and the variant where there is one."""
        return f"{self.method} ({self.variant})" if self.variant else self.method

    @property
    def measure(self) -> float:
        """The metric that tasks of this kind are compared by: see `MEASURE`."""
        return self.metrics[MEASURE[self.kind]]

    @property
    def teacher_space(self) -> str | None:
        """What distinguishes the teacher's space: its digest, else that of the bundle itself."""
        return self.space or self.teacher or self.start

    def describe_teacher(self) -> str:
        """The teacher and its space, for messages."""
        name = self.teacher_name or self.start_name
        if name is None:
            return f"the bundle {str(self.teacher)[:12]} (its space was not recorded)"
        return f"{name} ({self.space[:12] if self.space else 'no CF space'})"


@dataclass(frozen=True)
class Cell:
    """One run of the grid; `method` is a transfer method, one of `BASELINES`, or a probe.

    `variant` names the teacher or loss of a run that is not the default's, such as `plain sum`.
    """

    method: str
    width: int
    fold: int
    seed: int
    variant: str = ""

    @property
    def file(self) -> str:
        name = f"{self.method}+{self.variant}" if self.variant else self.method
        slug = name.lower().replace(" ", "-")
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
    return sorted(results, key=_order)


def _order(run: Result) -> tuple[str, str, str, int, int, int]:
    return run.task, run.method, run.variant, run.width, run.fold, run.seed


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


def refuse_mixed_teachers(results: list[Result], folder: Path) -> None:
    """Refuse to average runs of a method whose teachers live in different CF spaces.

    A method on a task has teachers of one space, or of another one for each fold, which have not
    heard the artists of their fold. On other tasks, it has those teachers or some of them. A probe
    chooses among encoders; so only encoders of one name are compared there.

    Raises
    ------
    MixedTeachers
    """
    taught = [run for run in results if run.teacher or run.start]
    for runs in _grouped(taught, lambda run: (run.task, run.label, run.width, _chosen(run))):
        folds = _grouped(runs, lambda run: run.fold)
        for of_fold in folds:
            _require_one(of_fold, folder)
        if len({run.teacher_space for run in runs}) < len(folds):
            _require_one(runs, folder)
    known = [run for run in taught if (run.teacher_name or run.start_name) and not _chosen(run)]
    for runs in _grouped(known, lambda run: run.label):
        tasks = _grouped(runs, lambda run: run.task)
        widest = max(tasks, key=lambda of_task: len({run.teacher_space for run in of_task}))
        spaces = {run.teacher_space for run in widest}
        for run in runs:
            if run.teacher_space not in spaces:
                _require_one([widest[0], run], folder)


def _chosen(run: Result) -> str:
    """The encoder that a probe chose; empty for transfer methods and baselines."""
    if run.method in (*METHODS, *BASELINES):
        return ""
    return run.teacher_name or str(run.settings.get("encoder", "its only encoder"))


def _grouped(runs: Iterable[Result], key: Callable[[Result], Hashable]) -> list[list[Result]]:
    groups: dict[Hashable, list[Result]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _require_one(runs: list[Result], folder: Path) -> None:
    first = runs[0]
    for run in runs:
        if run.teacher_space != first.teacher_space:
            teachers = first.describe_teacher(), run.describe_teacher()
            raise MixedTeachers(folder, f"{run.label} on {run.task}", *teachers)
