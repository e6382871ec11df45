"""Command that exports published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli.options import BundleDir, CardVersion, OnDemand, with_settings
from training.cli.output import print_bundle, print_parity
from training.errors import MissingInput
from training.pretrained.settings import MusicnnSettings

app = typer.Typer()


@app.command()
@with_settings(MusicnnSettings)
def musicnn(
    wheel: Annotated[Path, typer.Option(help="Wheel of `pip download --no-deps musicnn==0.1.0`.")],
    out: BundleDir,
    settings: MusicnnSettings,
    audio: Annotated[
        Path, typer.Option(help="Folder of audio files for the parity check with torch.")
    ] = Path("examples"),
    on_demand: OnDemand = False,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Export MusiCNN, a music tagger with published weights, as a bundle."""
    if not wheel.is_file():
        raise MissingInput(wheel, "pip download --no-deps musicnn==0.1.0")
    from training.pretrained import musicnn as stage

    written, errors = stage.export_musicnn(
        wheel, out, audio, settings, on_demand=on_demand, card_version=card_version
    )
    print_parity(errors, "torch")
    print_bundle(written)
