"""Command that reads labelled data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.cli import checks
from training.cli.options import WORKERS, AllowMissing, Out, Workers
from training.cli.output import console, print_account, progress
from training.datasets import NOT_STATED, READERS, check_request
from training.errors import BadDataset
from training.networks.registry import DEFAULT_ENCODER

if TYPE_CHECKING:
    from models.card import AudioInput

app = typer.Typer()


@app.command()
def dataset(
    name: Annotated[str, typer.Argument(help=f"`custom`, or one of: {', '.join(READERS)}.")],
    data: Annotated[Path, typer.Option(help="Folder of the set, in its published layout.")],
    out: Out,
    labels: Annotated[
        Path | None,
        typer.Option(help="For `custom`: CSV with one row per file; else one folder per class."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="For `custom`: name of the task, as in POST /classify/<task>."),
    ] = None,
    licence: Annotated[
        str, typer.Option(help="For `custom`: licence of audio and labels, for the model's card.")
    ] = NOT_STATED,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Bundle of the encoder that will take the windows; default: windows for "
            "cf-estimator.",
            callback=checks.check_optional_bundle,
        ),
    ] = None,
    allow_missing: AllowMissing = False,
    workers: Workers = WORKERS,
) -> None:
    """Read a labelled data set, assign its folds and decode its windows.

    `custom` is data of your own: a folder per class, or `--labels`, a CSV with a column `file`,
    then `label` (or one column per regression target), and optionally `artist`, `fold` or `part`.
    """
    check_request(name, labels, task, licence)
    if not data.is_dir():
        raise BadDataset(name, f"there is no folder {data}")
    if labels and not labels.is_file():
        raise BadDataset(name, f"{labels} cannot be read (no such file)")
    from training.datasets import prepared as stage
    from training.datasets import read_dataset

    audio = _audio_of(teacher)
    read = read_dataset(name, data, labels=labels, task=task, licence=licence)
    for account in stage.account_files(read, allow_missing=allow_missing):
        print_account(account)
    refused = 0
    with progress() as bar:
        records = stage.prepare_task(read, out, audio, workers=workers)
        for record in bar.track(records, total=len(read.tracks), description="prepare"):
            refused += "reason" in record
    ready = stage.TaskData.load(out)
    console.print(
        f"{len(ready.rows)} windows in {out}; {refused} refused (refused.csv), "
        f"{len(read.missing)} missing; {read.kind}: {', '.join(read.labels)}; "
        f"{read.split}, {ready.n_folds} to hold out"
    )


def _audio_of(teacher: Path | None) -> AudioInput:
    """Sample rate and length of the windows that an encoder takes, by default cf-estimator."""
    if teacher is None:
        from training.networks.registry import encoder_class

        return encoder_class(DEFAULT_ENCODER).audio
    from models.bundle import read

    return read(teacher).card.audio
