"""Terminal output that several commands share: console, progress bar, written bundles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from models.bundle import Bundle

console = Console()


def progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def print_warning(text: str) -> None:
    console.print(f"[bold yellow]warning[/] {escape(text)}", highlight=False)


def print_error(error: Exception) -> None:
    """One line; brackets in names of files and ids are no markup."""
    console.print(f"[bold red]error[/] {escape(str(error))}", highlight=False)


def print_account(account: object) -> None:
    """A line about a join, see `training.datasets.accounts`."""
    console.print(str(account), highlight=False, markup=False, soft_wrap=True)


def print_parity(errors: Mapping[str, float], reference: str) -> None:
    """Output name → largest difference between ONNX and torch or scikit-learn, one line each."""
    for name, error in errors.items():
        console.print(f"{name}: ONNX within {error:.1e} of {reference}, relative to its scale")


def print_bundle(written: Bundle) -> None:
    card = written.card
    console.print(f"bundle {card.name} {card.version} {written.digest} in {written.folder}")
