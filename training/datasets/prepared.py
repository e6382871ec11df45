"""A labelled data set made ready: its windows, its answers and its folds, in one folder."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from models.card import AudioInput, Data
from training.audio.manifest import read_ids
from training.audio.windows import Prepared, prepare
from training.datasets.folds import deal_folds, n_folds_of, parts_of
from training.datasets.task import Kind, Task
from training.errors import BadDataset, MissingInput

TASK = "task.json"


class TaskFacts(BaseModel):
    """`task.json`: what a `Task` says of itself, but for its tracks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    answers: str
    kind: Kind
    labels: tuple[str, ...]
    split: str
    data: tuple[Data, ...]


@dataclass(frozen=True)
class TaskData:
    """Prepared windows with their answers; rows are those of `prepared.tracks`."""

    folder: Path
    facts: TaskFacts
    prepared: Prepared

    @classmethod
    def load(cls, folder: Path) -> TaskData:
        """What `prepare_task` wrote into a folder.

        Raises
        ------
        MissingInput
        """
        try:
            facts = TaskFacts.model_validate_json((folder / TASK).read_bytes())
        except (OSError, ValidationError) as error:
            raise MissingInput(folder, "tasteprint-train dataset") from error
        return cls(folder, facts, Prepared.load(folder))

    @property
    def rows(self) -> NDArray[np.int64]:
        """Where each track's window is, shape (n_tracks,)."""
        return np.asarray(self.prepared.tracks["row"], np.int64)

    def waveforms(self, row: int) -> NDArray[np.float32]:
        """One window as a batch, shape (1, window_samples)."""
        return self.prepared.waveforms(np.array([row]))

    @property
    def answers(self) -> NDArray[np.int64] | NDArray[np.float32]:
        """Class indices, shape (n_tracks,), or targets, shape (n_tracks, n_targets)."""
        tracks, labels = self.prepared.tracks, list(self.facts.labels)
        if self.facts.kind == "regression":
            return np.asarray(tracks[labels], np.float32)
        return np.array([labels.index(label) for label in tracks["label"]], np.int64)

    @property
    def n_folds(self) -> int:
        return n_folds_of(self.prepared.tracks)

    def parts(self, fold: int | None) -> NDArray[np.str_]:
        """`train`, `validation` or `test` for each track, by `folds.parts_of`."""
        return parts_of(self.prepared.tracks, fold)


def prepare_task(
    task: Task, out: Path, audio: AudioInput, *, workers: int = 2
) -> Generator[dict[str, Any]]:
    """Deal the folds, decode the middle window of each track; see `training.audio.windows.prepare`.

    Raises
    ------
    BadDataset
        Where bad files leave nothing of a class or of a part of the split.
    """
    tracks = task.tracks.assign(item_id=task.tracks["track_id"])
    if "fold" not in tracks and "part" not in tracks:
        tracks["fold"] = deal_folds(tracks)
    yield from prepare(tracks, out, audio, workers=workers)
    _check_windows(task.name, tracks, out)
    facts = {name: getattr(task, name) for name in TaskFacts.model_fields}
    (out / TASK).write_text(TaskFacts(**facts).model_dump_json(indent=2) + "\n")


def _check_windows(name: str, tracks: pd.DataFrame, out: Path) -> None:
    """No class and no part of the split may have lost all of its tracks to bad files."""
    found = read_ids(out / "tracks.csv")
    for column in ("label", "fold", "part"):
        if column in tracks:
            lost = set(tracks[column].astype(str)) - set(found[column].astype(str))
            if lost:
                raise BadDataset(
                    name,
                    f"no window is left of the {column} {', '.join(sorted(lost))}; "
                    f"{out / 'refused.csv'} says why files were refused",
                )
