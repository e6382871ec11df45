"""Commands that train an encoder on artist, album and track, and test what it has learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.options import Out, PreparedDirs, Resume, with_settings
from training.cli.output import console, print_account, progress
from training.similarity.settings import SimilaritySettings

app = typer.Typer()


@app.command()
@with_settings(SimilaritySettings)
def similarity(
    prepared: PreparedDirs,
    out: Out,
    settings: SimilaritySettings,
    split: Annotated[
        Path | None,
        typer.Option(
            help="File of `split`: its test artists are not heard, its validation artists "
            "validate.",
            callback=checks.check_split,
        ),
    ] = None,
    song_split: Annotated[
        bool,
        typer.Option(
            "--song-split",
            help="Divide the songs of each artist of three clips or more into training, validation "
            "and test; test artists of --split are left out.",
        ),
    ] = False,
    resume: Resume = True,
) -> None:
    """Train an encoder to tell segments of one artist, album or track from others; resumable.

    The folders are of whole windows, prepared with --artist-column, and --album-column if known.
    """
    checks.check_division(split, song_split)
    checks.check_width(settings.encoder, settings.width)
    for folder in prepared:
        checks.check_crop(folder, settings.crop_s)
    from training.audio.prepared_sets import load_sets
    from training.estimator.artist_split import load_split
    from training.similarity import train as stage

    best = stage.train(
        load_sets(prepared),
        load_split(split) if split else None,
        out,
        settings,
        by_song=song_split,
        resume=resume,
        tell=print_account,
    )
    console.print(f"best checkpoint: {best}")


@app.command()
def similarity_report(
    run: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `similarity`; may be given more than once.", callback=checks.check_runs
        ),
    ],
    prepared: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `prepare` with the runs' clips; given once for each set, and for each "
            "sample rate that an encoder needs: folders of one name are one set.",
            callback=checks.check_prepared_sets,
        ),
    ],
    out: Out,
    bundle: Annotated[
        list[Path],
        typer.Option(
            help="Bundle of an encoder to test beside them; may be given more than once.",
            callback=checks.check_bundles,
        ),
    ] = [],  # noqa: B006
    negatives: Annotated[int, typer.Option(help="Negatives of each test.", min=1)] = 4,
    draws: Annotated[int, typer.Option(help="Tests of each held-out clip.", min=1)] = 50,
) -> None:
    """Test on held-out clips which concepts the runs have learnt, beside an untrained network."""
    from training.similarity import report as stage

    with progress() as bar:
        table = stage.run(
            run,
            bundle,
            prepared,
            out,
            negatives=negatives,
            n_draws=draws,
            track=lambda label, items: bar.track(items, description=label),
        )
    console.print(table, markup=False, soft_wrap=True)
