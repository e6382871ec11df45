"""Options that several commands of `tasteprint-train` share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console()
WORKERS = os.cpu_count() or 2

Out = Annotated[Path, typer.Option(help="Folder to write into.")]
PreparedDir = Annotated[Path, typer.Option("--prepared", help="Folder of `prepare`.")]
TaskDir = Annotated[Path, typer.Option("--task", help="Folder of `dataset`.")]
Teacher = Annotated[Path, typer.Option(help="Bundle of a CF estimator.")]
ResultsDir = Annotated[Path, typer.Option("--results", help="Folder of `compare` or `probe`.")]
BundleDir = Annotated[Path, typer.Option("--out", help="Folder of the bundle, models/<name>.")]
CardVersion = Annotated[str, typer.Option(help="Version of the model.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Files = Annotated[int, typer.Option("--workers", help="Files at a time.")]

BatchSize = Annotated[int, typer.Option(help="Windows a step and device.")]
LearningRate = Annotated[float, typer.Option(help="Adam's, at the start.")]
MaxEpochs = Annotated[int, typer.Option(help="Passes over the data, at most.")]
Patience = Annotated[int, typer.Option(help="Epochs without progress before the end.")]
CropS = Annotated[float, typer.Option(help="Random training crops; 0: whole windows.")]
CosineSchedule = Annotated[bool, typer.Option(help="Let the learning rate fall.")]
Precision = Annotated[
    Literal["32-true", "bf16-mixed", "16-mixed"], typer.Option(help="Of the arithmetic.")
]
Accelerator = Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="What to train on.")]
Devices = Annotated[int, typer.Option(help="More than one trains by DDP.")]
LoaderWorkers = Annotated[int, typer.Option("--workers", help="Loader processes a device.")]
Resume = Annotated[bool, typer.Option(help="Go on from the last checkpoint.")]


def check_width(width: int) -> int:
    from training.networks.registry import DEFAULT_ENCODER, find_entry

    widths = find_entry(DEFAULT_ENCODER).widths
    if width not in widths:
        raise typer.BadParameter(f"{width} is none of {widths}")
    return width


def check_widths(widths: list[int]) -> list[int]:
    return [check_width(width) for width in widths]


Width = Annotated[int, typer.Option(help="Channels: 32, 64, 128 or 256.", callback=check_width)]


def progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
