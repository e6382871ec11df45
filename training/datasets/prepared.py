"""Prepared labelled data set: windows, targets and folds in one folder."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.card import AudioInput, Data
from training.audio.manifest import read_ids
from training.audio.windows import Prepared, prepare
from training.datasets.accounts import (
    MIN_SHARE,
    Account,
    check_account,
    count_join,
    write_accounts,
)
from training.datasets.folds import assign_folds, assign_parts, count_folds
from training.datasets.task import Kind, Task
from training.errors import BadDataset, MissingInput, OtherTracks

TASK = "task.json"


class TaskFacts(BaseModel):
    """Schema of `task.json`: the fields of a `Task` without its tracks."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str
    card_task: str = Field(validation_alias="answers", serialization_alias="answers")
    kind: Kind
    labels: tuple[str, ...]
    split: str
    data: tuple[Data, ...]
    # Not written if there are none, so that the file of a set without groups is unchanged.
    groups: dict[str, tuple[str, ...]] = Field(default={}, exclude_if=lambda groups: not groups)


@dataclass(frozen=True)
class TaskData:
    """Prepared windows with their targets; rows are those of `prepared.tracks`."""

    folder: Path
    facts: TaskFacts
    prepared: Prepared

    @classmethod
    def load(cls, folder: Path) -> TaskData:
        """Load the folder that `prepare_task` wrote.

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
        """Row of each track's window in `prepared.windows`, shape (n_tracks,)."""
        return np.asarray(self.prepared.tracks["row"], np.int64)

    def waveforms(self, row: int) -> NDArray[np.float32]:
        """One window as a batch, shape (1, input_samples)."""
        return self.prepared.waveforms(np.array([row]))

    @property
    def targets(self) -> NDArray[np.int64] | NDArray[np.float32]:
        """Class indices, shape (n_tracks,), or a value per label, shape (n_tracks, n_labels).

        The values of a multilabel task are 1 where a track has the label, 0 where it has not, and
        NaN where that is unknown.
        """
        tracks, labels = self.prepared.tracks, list(self.facts.labels)
        if self.facts.kind == "multilabel":  # the file's empty cells are read as text
            return np.asarray(tracks[labels].replace("", np.nan), np.float32)
        if self.facts.kind == "regression":
            return np.asarray(tracks[labels], np.float32)
        return np.array([labels.index(label) for label in tracks["label"]], np.int64)

    @property
    def n_folds(self) -> int:
        return count_folds(self.prepared.tracks)

    def parts(self, fold: int | None) -> NDArray[np.str_]:
        """`train`, `validation` or `test` for each track, by `folds.assign_parts`."""
        return assign_parts(self.prepared.tracks, fold)


def account_files(task: Task, *, allow_missing: bool = True) -> list[Account]:
    """Accounts of the tables that the reader has joined, and of the tracks that have a file.

    Raises
    ------
    Unmatched
        If fewer than half of the tracks have a file, or of one table are in the other.
    """
    absent = pd.DataFrame({"track_id": list(task.missing)})
    listed = pd.concat([task.tracks[["track_id", "artist"]], absent], ignore_index=True)
    present = task.tracks["track_id"]
    files = count_join(
        listed.fillna(""),
        "listed",
        present,
        "the folder",
        key="track_id",
        right_counts={"audio files of these tracks": len(present)},
    )
    what = "tracks that are not in both are left out"
    for account in (*task.accounts, files):
        check_account(account, MIN_SHARE, allow_missing=allow_missing, what=what)
    return [*task.accounts, files]


def prepare_task(
    task: Task, out: Path, audio: AudioInput, *, workers: int = 2
) -> Generator[dict[str, Any]]:
    """Assign folds and decode the middle window of each track, by `training.audio.windows.prepare`.

    `accounts.json` says how many tracks have a file, and how many could be read.

    Raises
    ------
    BadDataset
        Where unreadable files leave a class or a part of the split without tracks.
    """
    tracks = task.tracks.assign(item_id=task.tracks["track_id"])
    if "fold" not in tracks and "part" not in tracks:
        tracks["fold"] = assign_folds(tracks)
    yield from prepare(tracks, out, audio, workers=workers)
    decoded = count_join(
        tracks,
        "with a file",
        read_ids(out / "tracks.csv")["track_id"],
        "tracks.csv",
        key="track_id",
    )
    write_accounts(out, [*account_files(task), decoded])
    _check_windows(task.name, tracks, out)
    facts = {name: getattr(task, name) for name in TaskFacts.model_fields}
    (out / TASK).write_text(TaskFacts(**facts).model_dump_json(indent=2, by_alias=True) + "\n")


def _check_windows(name: str, tracks: pd.DataFrame, out: Path) -> None:
    """Refuse a class or a part of the split all of whose files are unreadable."""
    found = read_ids(out / "tracks.csv")
    for column in ("label", "fold", "part"):
        if column in tracks:
            empty = set(tracks[column].astype(str)) - set(found[column].astype(str))
            if empty:
                raise BadDataset(
                    name,
                    f"no window is left of the {column} {', '.join(sorted(empty))}; "
                    f"{out / 'refused.csv'} lists the refused files with the reason",
                )


def check_same_tracks(data: TaskData, other: TaskData) -> None:
    """Refuse a task folder with other tracks, targets or folds, or in another order.

    Raises
    ------
    OtherTracks
    """
    tracks, others = data.prepared.tracks, other.prepared.tracks
    missing = set(tracks["track_id"]) ^ set(others["track_id"])
    if missing:
        raise OtherTracks(
            data.folder, other.folder, f"{len(missing)} tracks are in one alone, {min(missing)} too"
        )
    if list(tracks["track_id"]) != list(others["track_id"]):
        raise OtherTracks(data.folder, other.folder, "the order differs")
    same_targets = np.array_equal(data.targets, other.targets, equal_nan=True)
    if data.facts.labels != other.facts.labels or not same_targets:
        raise OtherTracks(data.folder, other.folder, "the targets differ")
    same_folds = data.n_folds == other.n_folds and all(
        np.array_equal(data.parts(fold) == "test", other.parts(fold) == "test")
        for fold in range(data.n_folds)
    )
    if not same_folds:
        raise OtherTracks(data.folder, other.folder, "the folds differ")
