"""Tables of runs: a list, and what is different between some."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from training.runs.folders import Run

# Measures that a list has room for, the first that a run has.
MAIN = ("user_auc", "val_loss", "accuracy", "macro_f1", "roc_auc", "r2_mean", "recall_at_10")
N_MEASURES = 3


def table_of(runs: Sequence[Run], top: Path) -> pd.DataFrame:
    """A row for each run: path, command, time, and its first measures."""
    return pd.DataFrame(
        [
            {
                "run": str(run.path.relative_to(top)),
                "command": run.kind,
                "changed": _time_of(run.changed_s),
                "measures": ", ".join(
                    f"{name} {value:.4g}" for name, value in main_measures(run).items()
                ),
            }
            for run in runs
        ],
        columns=["run", "command", "changed", "measures"],
    )


def main_measures(run: Run) -> dict[str, float]:
    """The measures that say most, else the first ones."""
    names = [name for main in MAIN for name in run.measures if name.rpartition("/")[2] == main]
    chosen = dict.fromkeys([*names, *run.measures])
    return {name: run.measures[name] for name in list(chosen)[:N_MEASURES]}


def compare(runs: Sequence[Run]) -> pd.DataFrame:
    """A row for each setting and package that differs, then for each measure; a column a run."""
    told = [_flat(run) for run in runs]
    rows = []
    for name in dict.fromkeys(name for stated in told for name in stated):
        values = [stated.get(name, "") for stated in told]
        if len(set(map(str, values))) > 1:
            rows.append([name, *map(str, values)])
    for name in dict.fromkeys(name for run in runs for name in run.measures):
        values = [run.measures.get(name) for run in runs]
        rows.append([name, *("" if value is None else f"{value:.4f}" for value in values)])
    return pd.DataFrame(rows, columns=["", *_labels(runs)])


def _flat(run: Run) -> dict[str, object]:
    packages = run.environment.get("packages", {})
    of_machine = {
        name: run.environment[name] for name in ("python", "gpus") if name in run.environment
    }
    return {"command": run.kind, **run.settings, **packages, **of_machine}


def _labels(runs: Sequence[Run]) -> list[str]:
    """The names of the folders, or whole paths where two have one name."""
    names = [run.path.stem if run.path.is_file() else run.path.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _time_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
