"""Command that lists and compares run folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.cli.output import console

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer()


@app.command()
def runs(
    top: Annotated[Path, typer.Option("--in", help="Folder that is searched.")] = Path("runs"),
    compare: Annotated[
        list[Path],
        typer.Option(
            help="Run to compare with others: a folder, or a results file of `compare`; given once "
            "for each."
        ),
    ] = [],  # noqa: B006
    as_json: Annotated[
        bool, typer.Option("--json", help="Settings and measures of every run as JSON.")
    ] = False,
) -> None:
    """List run folders, or compare some: the settings that differ, and all measures.

    Finds runs of the commands that train, of `compare`, `probe` and `mine`, and evaluations.
    """
    from training.runs import comparison
    from training.runs.folders import find_runs, read_run

    found = [read_run(path) for path in compare] if compare else find_runs(top)
    if as_json:
        stated = [
            {
                "run": str(run.path),
                "command": run.kind,
                "settings": dict(run.settings),
                "measures": dict(run.measures),
                "environment": dict(run.environment),
                "pictures": [path.name for path in run.pictures],
            }
            for run in found
        ]
        console.print_json(data=stated)
        return
    _print(comparison.compare(found) if compare else comparison.table_of(found, top))


def _print(table: pd.DataFrame) -> None:
    from rich.table import Table

    shown = Table(*table.columns, box=None)
    for row in table.itertuples(index=False):
        shown.add_row(*map(str, row))
    console.print(shown)
