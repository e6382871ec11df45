"""Command that fits scikit-learn probes on an encoder's outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.options import (
    DEFAULT_TEACHER,
    BundleDir,
    CardVersion,
    TaskDir,
    with_settings,
)
from training.cli.output import console, print_bundle, print_parity
from training.probes.settings import ProbeSettings, check_kind_and_source

app = typer.Typer()


@app.command()
@with_settings(ProbeSettings)
def probe(
    task: TaskDir,
    results: Annotated[Path, typer.Option(help="Folder of `compare` or `probe`.")],
    out: BundleDir,
    settings: ProbeSettings,
    encoder: Annotated[
        Path, typer.Option(help="Bundle of any encoder.", callback=checks.check_bundle)
    ] = DEFAULT_TEACHER,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Fit a scikit-learn model on an encoder's outputs, evaluate it, and write its bundle."""
    check_kind_and_source(settings)
    from training.probes import probe as stage

    written, errors = stage.probe(task, encoder, out, results, settings, card_version=card_version)
    print_parity(errors, "scikit-learn")
    console.print_json(data=written.card.provenance.metrics)
    print_bundle(written)
