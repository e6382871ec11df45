"""Summary of the recommendation of one run or of several seeds, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.atomic_write import write_atomically
from training.errors import MissingInput, OtherEvaluation
from training.evaluation.ranking_metrics import bootstrap_over_groups
from training.users.vectors import COMMAND

PER_USER, TABLE = "per_user.npz", "report.md"
NETWORK, ALS, POPULARITY = "youtube-dnn", "als", "popularity"
SEPARATOR = ": "
Values = NDArray[np.float64]
# Method → measure → value of each tested user.
PerUser = Mapping[str, Mapping[str, Values]]


def save_per_user(folder: Path, users: NDArray[np.str_], found: PerUser) -> None:
    """Write the measures of each tested user into a run folder."""
    named = {
        f"{method}{SEPARATOR}{measure}": values
        for method, measures in found.items()
        for measure, values in measures.items()
    }
    with write_atomically(folder / PER_USER) as part, part.open("wb") as file:
        np.savez(file, users=users, **named)  # type: ignore[arg-type]


def summarize(runs: Sequence[Path]) -> dict[str, Any]:
    """Mean of each measure over users and runs, and its 95 % interval over users.

    The value of a user is the mean over the runs, whose seeds draw the held-out entries and the
    first weights; `seeds`, of several runs, is the standard deviation of their means.

    Raises
    ------
    MissingInput
    OtherEvaluation
        Where the runs tested other users.
    """
    tables = [_load(run) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if not np.array_equal(table["users"], tables[0]["users"]):
            n_first, n_found = len(tables[0]["users"]), len(table["users"])
            raise OtherEvaluation(run, "tested users", n_first, n_found)
    names = [name for name in tables[0] if name != "users"]
    values = {name: np.stack([table[name] for table in tables]) for name in names}
    rows = {name: _summarize(values[name]) for name in names}
    ours, als = f"{NETWORK}{SEPARATOR}", f"{ALS}{SEPARATOR}"
    differences = {
        f"{NETWORK} − {ALS}{SEPARATOR}{name.removeprefix(als)}": _summarize(
            values[name.replace(als, ours)] - values[name]
        )
        for name in names
        if name.startswith(als)
    }
    return {
        "n_users": len(tables[0]["users"]),
        "n_runs": len(runs),
        "measures": rows | differences,
    }


def _load(run: Path) -> dict[str, NDArray[Any]]:
    try:
        return dict(np.load(run / PER_USER).items())
    except (OSError, ValueError) as error:
        raise MissingInput(run, COMMAND) from error


def _summarize(values: Values) -> dict[str, float]:
    """Of values of shape (n_runs, n_users)."""
    mean, low, high = bootstrap_over_groups(values.mean(0), np.arange(values.shape[1]))
    row = {"mean": mean, "low": low, "high": high}
    return row | {"seeds": float(values.mean(1).std())} if len(values) > 1 else row


def write_table(folder: Path, summary: Mapping[str, Any]) -> str:
    """Write `report.md`, a row per method and a column per measure; returns it."""
    cells: dict[str, dict[str, str]] = {}
    for name, row in summary["measures"].items():
        method, _, measure = name.partition(SEPARATOR)
        text = f"{row['mean']:.4f} ({row['low']:.4f} – {row['high']:.4f})"
        cells.setdefault(method, {})[measure] = text
    columns = list(next(iter(cells.values()), {}))
    lines = [
        f"{summary['n_users']} users, {summary['n_runs']} runs; 95 % intervals over users.\n",
        f"| method | {' | '.join(column.replace('_', ' ') for column in columns)} |",
        f"|---|{'---|' * len(columns)}",
        *(
            f"| {method} | {' | '.join(row[column] for column in columns)} |"
            for method, row in cells.items()
        ),
    ]
    text = "\n".join(lines) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLE).write_text(text)
    return text
