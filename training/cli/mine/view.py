"""Progress view of `mine`: one bar for each stage, and lines above them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import click
import typer
from rich.progress import Progress

from training.cli.output import console


class View:
    """Shows the stages of a run on one progress bar.

    Parameters
    ----------
    bar : started by the caller
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar

    def say(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        """Context manager: a stage of so many steps; what an earlier run did is not counted."""
        task = self._bar.add_task(name, total=total)
        yield lambda: self._bar.advance(task)
        self._bar.update(task, completed=total)

    def track(self, label: str, items: list[int]) -> Iterable[int]:
        return self._bar.track(items, description=label)


def choose(what: str, names: Sequence[str]) -> str:
    """Ask which of several columns fits; `sys.stdin` must be a terminal."""
    for number, name in enumerate(names, 1):
        console.print(f"{number}  {name}", highlight=False, markup=False)
    numbers = typer.prompt(f"Which is the {what}?", type=click.IntRange(1, len(names)))
    return names[int(numbers) - 1]


def can_ask() -> bool:
    return sys.stdin.isatty()
