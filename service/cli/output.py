"""Output of the command line: results on standard output, all else on standard error."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# Exit codes. Typer's own is 2, for usage.
FAILED_TO_RUN, SOME_FAILED, INTERRUPTED = 1, 3, 130

# Progress and messages; results go to standard output.
console = Console(stderr=True)


def say(text: str) -> None:
    """A line on standard error, as it is: names of files may have brackets, and are not broken."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def make_progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        # Drawn ten times a second, also where nobody sees it, it takes a hundredth of two cores.
        refresh_per_second=4,
        auto_refresh=console.is_terminal,
    )


def show_failure(bar: Progress, path: str, detail: str) -> None:
    """A line of a song that has no vector, above the progress bar."""
    bar.console.print(
        f"[red]failed[/] {escape(path)}: {escape(detail)}", highlight=False, soft_wrap=True
    )


def fail(error: Exception) -> NoReturn:
    """Print an error in one line, with its remedy, and exit with status 1."""
    text = str(error)
    limit = getattr(error, "limit", None)
    if limit is not None and str(limit) not in text:
        text += f" (allowed: {limit})"
    console.print(f"[bold red]error[/] {escape(text)}", highlight=False, soft_wrap=True)
    raise typer.Exit(FAILED_TO_RUN)
