"""Progress of a run on Spark."""

from __future__ import annotations

from dataclasses import replace

from service.cli.output import make_progress, say, show_failure
from service.cli.scan import Summary
from service.cli.spark.run import SparkRun
from service.cli.table import OK, Source


def embed_on_spark(run: SparkRun) -> Summary:
    """Embed what is missing, with a progress bar.

    Raises
    ------
    TasteprintError
    """
    with make_progress() as bar:
        task = bar.add_task("embed", total=None)

        def plan(source: Source, n_missing: int, summary: Summary) -> None:
            say(f"{source.describe()}; {summary.known} known")
            bar.update(task, total=n_missing)

        def show(path: str, status: str, detail: str) -> None:
            bar.advance(task)
            if status != OK:
                show_failure(bar, path, detail)

        return replace(run, on_plan=plan, on_row=show).embed()
