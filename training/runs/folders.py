"""Run folders below a folder: what each run was told, and what it measured.

A run is a folder with `settings.json` (of a fit), with `measures.json` (of `evaluate` and `mine`),
or a results file of `compare` and `probe`, which is one JSON file for each run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.errors import MissingInput
from training.fitting.curves import best_measures
from training.fitting.settings import ENVIRONMENT, KIND, SETTINGS
from training.tables.measures import MEASURES

# Of a run that has no `kind.txt`.
FIT, EVALUATION, MINE = "estimator", "evaluate", "mine"
# The stages of `mine` are below it.
SONGS = "songs"
RESULT_KEYS = {"method", "metrics", "settings", "task"}
# Of the value that a results file states, beside its settings.
RESULT_CONFIGURATION = ("task", "method", "variant", "width", "fold", "seed", "teacher_name")
NETWORK = "network"


@dataclass(frozen=True)
class Run:
    """A run as its folder states it.

    Attributes
    ----------
    path : of the folder, or of a results file
    kind : the command that made it
    settings : hyperparameters by name
    measures : number by name
    environment : see `training.fitting.environment`; empty in older runs
    changed_s : when it was last written, in seconds since 1970
    """

    path: Path
    kind: str
    settings: Mapping[str, Any]
    measures: Mapping[str, float]
    environment: Mapping[str, Any] = field(default_factory=dict)
    changed_s: float = 0.0

    @property
    def pictures(self) -> list[Path]:
        return sorted(_folder_of(self.path).glob("*.svg"))


def find_runs(top: Path) -> list[Run]:
    """Every run at any depth, in the order of their paths; damaged files are no runs.

    Raises
    ------
    MissingInput
        If there is no such folder.
    """
    if not top.is_dir():
        raise MissingInput(top, "tasteprint-train")
    return sorted(_walk(top), key=lambda run: run.path)


def read_run(path: Path) -> Run:
    """The run of a folder or a results file.

    Raises
    ------
    MissingInput
        If it is none.
    """
    run = _read_result(path) if path.is_file() else _read_folder(path)
    if run is None:
        raise MissingInput(path, "tasteprint-train")
    return run


def _walk(top: Path) -> Iterator[Run]:
    for place, folders, names in os.walk(top):
        folder = Path(place)
        run = _read_folder(folder)
        if run is not None:
            yield run
            # What is below a run are its parts, as the folds of `mine`.
            folders.clear()
            continue
        for name in names:
            result = _read_result(folder / name) if name.endswith(".json") else None
            if result is not None:
                yield result
                kept = _folder_of(result.path).name
                if kept in folders:  # the same run
                    folders.remove(kept)


def _folder_of(path: Path) -> Path:
    """The folder of a run; that of a results file is kept beside it, if at all."""
    return path if path.is_dir() else path.with_suffix("")


def _read_folder(folder: Path) -> Run | None:
    settings, measures = _read(folder / SETTINGS), _read(folder / MEASURES)
    if settings is None and measures is None:
        return None
    kind = _kind_of(folder, is_fit=settings is not None)
    found = _numbers(measures.get("groups", measures) if measures else {})
    if settings is not None:
        found |= _best(folder)
    newest = max(path.stat().st_mtime for path in folder.iterdir())
    environment = _read(folder / ENVIRONMENT) or {}
    return Run(folder, kind, settings or {}, found, environment, newest)


def _kind_of(folder: Path, *, is_fit: bool) -> str:
    if (folder / KIND).is_file():
        return (folder / KIND).read_text().strip()
    if is_fit:
        return FIT
    return MINE if (folder / SONGS).is_dir() else EVALUATION


def _best(folder: Path) -> dict[str, float]:
    try:
        return best_measures(folder)
    except MissingInput:  # it has not validated yet
        return {}


def _read_result(path: Path) -> Run | None:
    stated = _read(path)
    if stated is None or not stated.keys() >= RESULT_KEYS:
        return None
    configuration = {name: stated[name] for name in RESULT_CONFIGURATION if stated.get(name)}
    settings = dict(stated["settings"]) | configuration
    return Run(path, "compare", settings, _numbers(stated["metrics"]), {}, path.stat().st_mtime)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        stated = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return stated if isinstance(stated, dict) else None


def _numbers(stated: Mapping[str, Any]) -> dict[str, float]:
    """Numbers at any depth by the names on the way; of an interval, the mean.

    Of an evaluation, the measures of the network that it judges, with the name of each group.
    """
    found: dict[str, float] = {}
    for name, value in stated.items():
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            found[name] = float(value)
        elif isinstance(value, list) and len(value) == 3 and _are_numbers(value):
            found[name] = float(value[0])
        elif isinstance(value, Mapping):
            inner = value.get("methods", {}).get(NETWORK) if "methods" in value else value
            found |= {f"{name}/{key}": number for key, number in _numbers(inner or {}).items()}
    return found


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)
