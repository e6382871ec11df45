"""Command that judges all encoders on all tasks, and draws their table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.cli import checks
from training.cli.options import (
    AllowMissing,
    CountColumn,
    ItemColumn,
    LogsFiles,
    Out,
    UserColumn,
    with_settings,
)
from training.cli.output import console, print_account, print_warning, progress
from training.leaderboard.settings import ENTRIES, LeaderboardSettings

if TYPE_CHECKING:
    from training.leaderboard.cells import CellResult
    from training.leaderboard.entries import Entry
    from training.leaderboard.grid import TaskSource
    from training.leaderboard.listeners import ListenerFiles

app = typer.Typer()


@app.command()
@with_settings(LeaderboardSettings)
def leaderboard(
    out: Out,
    settings: LeaderboardSettings,
    entries: Annotated[
        Path, typer.Option(help="JSON of the entries: bundles, their outputs, what they heard.")
    ] = Path(ENTRIES),
    task: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `dataset`; may be given more than once, also with the same tracks for "
            "encoders of other windows. Default: only draw what has been judged.",
            callback=checks.check_tasks,
        ),
    ] = [],  # noqa: B006
    recordings: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `prepare`, of clips by artists of the logs, for the task of listeners; "
            "with --factors, --split and --logs.",
            callback=checks.check_prepared_sets,
        ),
    ] = [],  # noqa: B006
    factors: Annotated[
        Path | None, typer.Option(help="Folder of `factorize` of each fold, with {fold}.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="File of `split` of each fold, with {fold}.")
    ] = None,
    logs: LogsFiles = [],  # noqa: B006
    user_column: UserColumn = "user_id",
    item_column: ItemColumn = "item_id",
    count_column: CountColumn = None,
    only: Annotated[
        list[str],
        typer.Option(help="Name of an entry to judge; may be given more than once. Default: all."),
    ] = [],  # noqa: B006
    folds: Annotated[
        str, typer.Option(help="Folds to hold out in turn, as 0,1,2; default: all.")
    ] = "",
    seeds: Annotated[str, typer.Option(help="Seeds of probes and random weights, as 0,1,2.")] = "0",
    cost: Annotated[
        bool, typer.Option(help="Count operations and time every bundle that is not timed yet.")
    ] = True,
    allow_missing: AllowMissing = False,
    page: Annotated[
        Path | None,
        typer.Option(help="Page whose drawn part is made anew, with its files in a folder beside."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Figures of an earlier run, such as a committed figures.json: scores of entries "
            "and tasks that are not judged here are kept."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of probes fitted in parallel.", min=1)] = 1,
) -> None:
    """Judge every entry on every task by one probe, on the same folds, and draw the table.

    Results that exist are not made again, so a stopped run goes on; those of other bundles or
    tracks are. An entry whose bundle is not there yet is left out, and named.
    """
    chosen_folds, chosen_seeds = checks.parse_numbers(folds), checks.parse_numbers(seeds)
    checks.check_listeners(recordings, factors, split, logs)
    from training.leaderboard import page as pages
    from training.leaderboard.entries import Entries
    from training.leaderboard.figures import collect

    stated = Entries.load(entries)
    chosen = stated.choose(tuple(only), entries)
    present = [entry for entry in stated.entries if not entry.missing()]
    if task or recordings:
        files = _listener_files(
            recordings, factors, split, logs, (user_column, item_column, count_column)
        )
        sources = _load_sources(task, files, allow_missing)
        chosen = tuple(entry for entry in chosen if _is_present(entry))
        _judge(chosen, sources, out, settings, chosen_folds, chosen_seeds or [0], workers)
    if cost and present:
        from training.leaderboard.cost import update_costs

        update_costs(present, out)
    figures = collect(out, stated)
    if keep:
        from training.leaderboard.earlier import keep as keep_entries

        figures = keep_entries(figures, keep, stated, out)
    pages.write(figures, out, page)
    console.print(pages.table(figures), markup=False, soft_wrap=True)


def _load_sources(
    tasks: list[Path], listeners: ListenerFiles | None, allow_missing: bool
) -> list[TaskSource]:
    """The tasks; what their joins met is printed."""
    from training.leaderboard.grid import task_sources

    sources = task_sources(tasks, listeners)
    for source in sources:
        task = source.load()
        for account in task.accounts(allow_missing=allow_missing, warn=print_warning):
            print_account(account)
    return sources


def _judge(
    entries: tuple[Entry, ...],
    sources: list[TaskSource],
    out: Path,
    settings: LeaderboardSettings,
    folds: list[int],
    seeds: list[int],
    workers: int,
) -> None:
    from training.leaderboard import grid as stage
    from training.leaderboard.cells import open_run

    open_run(out, settings)
    jobs = stage.plan(entries, sources, out, folds=folds, seeds=seeds, tell=print_warning)
    with progress() as bar:
        stage.hear(jobs, lambda label, items: bar.track(items, description=label))
        results = stage.judge(jobs, out, settings, workers=workers)
        for result in bar.track(results, total=len(jobs), description="probes"):
            console.print(_describe(result), highlight=False, markup=False)


def _describe(result: CellResult) -> str:
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in result.metrics.items())
    return f"{result.entry} on {result.task}, fold {result.fold}, seed {result.seed}: {metrics}"


def _is_present(entry: Entry) -> bool:
    missing = entry.missing()
    if missing:
        print_warning(f"{entry.name} is left out: there is no bundle {missing}")
    return missing is None


def _listener_files(
    recordings: list[Path],
    factors: Path | None,
    split: Path | None,
    logs: list[Path],
    columns: tuple[str, str, str | None],
) -> ListenerFiles | None:
    if factors is None or split is None or not logs:
        return None
    from training.leaderboard.listeners import ListenerFiles

    return ListenerFiles(tuple(recordings), factors, split, tuple(logs), columns)
