"""Results files of a leaderboard: one for each entry, task, fold and seed, and one of the costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from models.atomic_write import write_atomically
from models.card import Scalar
from training.errors import MissingInput, MixedInputs, MixedResults, OtherRun
from training.leaderboard.entries import Entry
from training.leaderboard.settings import LeaderboardSettings

CELLS, COSTS, SETTINGS = "cells", "costs.json", "settings.json"


@dataclass(frozen=True)
class Cell:
    """One entry on one fold of one task, with one seed."""

    entry: Entry
    task: str
    fold: int
    seed: int

    def path(self, out: Path) -> Path:
        name = f"{self.entry.slug}-f{self.fold}-s{self.seed}.json"
        return out / CELLS / self.task / name


class Identity(BaseModel):
    """What a result depends on beside the settings: a result of another identity is made anew.

    Attributes
    ----------
    inputs : for each part of the entry, source, output and the digest of its bundle
    tracks_sha256 : of the tracks, their targets and which of them are held out
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[str, ...]
    tracks_sha256: str


class CellResult(BaseModel):
    """Schema of a results file; the first of `metrics` is what entries are ranked by.

    Attributes
    ----------
    n_folds, n_tracks : of the task
    dim : of the entry's vectors
    settings : hyperparameters that were chosen within the training part
    counts : tracks of the parts
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: str
    task: str
    fold: int
    seed: int
    n_folds: int
    n_tracks: int
    dim: int
    metrics: dict[str, float]
    settings: dict[str, Scalar]
    counts: dict[str, int]
    identity: Identity
    seconds: float


def read_cell(path: Path) -> CellResult | None:
    """A results file; None where there is none, or one of another version."""
    try:
        return CellResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_cell(path: Path, result: CellResult) -> None:
    """Write a results file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as part:
        part.write_text(result.model_dump_json(indent=1) + "\n")


def read_cells(out: Path) -> list[CellResult]:
    """Every result of a leaderboard, by task, entry, seed and fold.

    Raises
    ------
    MissingInput
        Where there is none.
    MixedResults
        Where entries were judged on other tracks as one fold of a task.
    MixedInputs
        Where an entry was judged with other bundles in some of the folds.
    """
    found = [read_cell(path) for path in sorted((out / CELLS).glob("*/*-f*-s*.json"))]
    cells = [cell for cell in found if cell is not None]
    if not cells:
        raise MissingInput(out, "tasteprint-train leaderboard")
    _refuse_mixed(cells, out)
    return sorted(cells, key=lambda cell: (cell.task, cell.entry, cell.seed, cell.fold))


def _refuse_mixed(cells: Sequence[CellResult], out: Path) -> None:
    first: dict[tuple[str, int], CellResult] = {}
    for cell in cells:
        known = first.setdefault((cell.task, cell.fold), cell)
        if known.identity.tracks_sha256 != cell.identity.tracks_sha256:
            raise MixedResults(out, cell.task, cell.fold, known.entry, cell.entry)
    inputs: dict[tuple[str, str, int], list[tuple[str, ...]]] = {}
    for cell in cells:
        inputs.setdefault((cell.entry, cell.task, cell.seed), []).append(cell.identity.inputs)
    for (entry, task, _), found in inputs.items():
        # One bundle for all folds, or one for each.
        if 1 < len(set(found)) < len(found):
            raise MixedInputs(out, entry, task)


def open_run(out: Path, settings: LeaderboardSettings) -> None:
    """Record the settings in the folder of results; refuse one with results of others.

    Raises
    ------
    OtherRun
    """
    stated = json.dumps(asdict(settings), indent=2) + "\n"
    path = out / SETTINGS
    if path.exists() and path.read_text() != stated:
        raise OtherRun(out)
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(stated)


def read_settings(out: Path) -> LeaderboardSettings:
    """The settings of the results in a folder.

    Raises
    ------
    MissingInput
    """
    try:
        return LeaderboardSettings(**json.loads((out / SETTINGS).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise MissingInput(out, "tasteprint-train leaderboard") from error


class Cost(BaseModel):
    """Of all bundles of an entry, each counted once.

    Attributes
    ----------
    bundles : digests
    parameters : see `graph_cost.count_parameters`
    mflop : 10⁶ operations of a clip, front end included: see `graph_cost.count_flop`
    ms : median CPU milliseconds of a clip on one core, decoding aside, by precision; int8 where
        every bundle has such a graph
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundles: tuple[str, ...]
    parameters: int
    mflop: float
    ms: dict[str, float]


class Costs(BaseModel):
    """Schema of `costs.json`: by name of the entry, and the processor that they were timed on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    entries: dict[str, Cost]


def read_costs(out: Path) -> Costs | None:
    """The costs in a folder of results; None where there are none."""
    try:
        return Costs.model_validate_json((out / COSTS).read_bytes())
    except (OSError, ValidationError):
        return None


def write_costs(out: Path, costs: Costs) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with write_atomically(out / COSTS) as part:
        part.write_text(costs.model_dump_json(indent=1) + "\n")
