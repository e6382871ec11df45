"""Commands that make an encoder without training: published weights, and several as one bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.options import BundleDir, CardVersion, OnDemand, with_settings
from training.cli.output import print_bundle, print_parity
from training.errors import MissingInput
from training.pretrained.settings import ArtistSiameseSettings, MusicnnSettings

app = typer.Typer()
ParityAudio = Annotated[
    Path, typer.Option("--audio", help="Folder of audio files for the parity check with torch.")
]


@app.command()
@with_settings(MusicnnSettings)
def musicnn(
    wheel: Annotated[Path, typer.Option(help="Wheel of `pip download --no-deps musicnn==0.1.0`.")],
    out: BundleDir,
    settings: MusicnnSettings,
    audio: ParityAudio = Path("examples"),
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


@app.command()
@with_settings(ArtistSiameseSettings)
def artist_siamese(
    weights: Annotated[
        Path, typer.Option(help="File model_siamese_10000.h5 of jongpillee/ismir2018-artist.")
    ],
    out: BundleDir,
    settings: ArtistSiameseSettings,
    audio: ParityAudio = Path("examples"),
    on_demand: OnDemand = False,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Export the Siamese CNN of the artist study (2018), with published weights, as a bundle.

    It hears 22,050 Hz, and there is nothing above 8 kHz in audio of 16 kHz.
    """
    if not weights.is_file():
        raise MissingInput(weights, "git clone https://github.com/jongpillee/ismir2018-artist")
    from training.pretrained import artist_siamese as stage

    written, errors = stage.export_artist_siamese(
        weights, out, audio, settings, on_demand=on_demand, card_version=card_version
    )
    print_parity(errors, "torch")
    print_bundle(written)


@app.command()
def ensemble(
    bundle: Annotated[
        list[Path],
        typer.Option(
            help="Bundle of an encoder; given once for each member.",
            callback=checks.check_bundles,
        ),
    ],
    output: Annotated[
        list[str],
        typer.Option(help="Output that the member gives, such as features; once for each bundle."),
    ],
    out: BundleDir,
    audio: Annotated[
        Path, typer.Option(help="Folder of audio files for the parity check with the members.")
    ] = Path("examples"),
    on_demand: OnDemand = False,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Join encoders to one bundle, whose embedding is their outputs concatenated.

    Members hear one waveform: of one sample rate and window. Where their patches differ, the bundle
    hears the whole window, and each member its patches of it.
    """
    if len(output) != len(bundle):
        raise typer.BadParameter(
            f"there are {len(bundle)} bundles and {len(output)} outputs; give --output once for "
            "each --bundle, in the same order",
            param_hint="--output",
        )
    from models.bundle import read
    from training.export import ensemble as stage

    members = [
        stage.Member(read(folder), name) for folder, name in zip(bundle, output, strict=True)
    ]
    written, errors = stage.export_ensemble(
        members, out, audio, default=not on_demand, card_version=card_version
    )
    print_parity(errors, "the members")
    print_bundle(written)
