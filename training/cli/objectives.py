"""Commands that train an encoder by an objective: on artist, album and track, or on labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.options import Out, PreparedDirs, Resume, with_settings
from training.cli.output import console, print_account, progress
from training.similarity.settings import SimilaritySettings
from training.tagging.settings import TaggingSettings

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


@app.command()
@with_settings(TaggingSettings)
def tagging(
    prepared: PreparedDirs,
    out: Out,
    settings: TaggingSettings,
    split: Annotated[
        Path,
        typer.Option(
            help="File of `split`: its test artists are not heard, its validation artists "
            "validate.",
            callback=checks.check_split,
        ),
    ],
    label_column: Annotated[
        list[str],
        typer.Option(
            help="Column of the manifest that holds labels, separated by semicolons; may be given "
            "more than once."
        ),
    ] = [],  # noqa: B006
    tags: Annotated[
        Path | None,
        typer.Option(
            help="CSV of artist_id, tag, n_users in place of columns: the 50 tags of the Million "
            "Song Dataset that users gave a clip's artist, who is its item.",
            callback=checks.check_tags,
        ),
    ] = None,
    resume: Resume = True,
) -> None:
    """Train an encoder to tell the labels of a clip; a stopped run can be resumed.

    Clips of which no label is known are left out. The folders are of whole windows, of which
    segments are drawn from anywhere.
    """
    if bool(label_column) == bool(tags):
        raise typer.BadParameter("give either --label-column or --tags", param_hint="--tags")
    checks.check_width(settings.encoder, settings.width)
    for folder in prepared:
        checks.check_crop(folder, settings.crop_s)
    from training.audio.prepared_sets import load_sets
    from training.estimator.artist_split import load_split
    from training.tagging import train as stage
    from training.tagging.labels import labels_of_artists, labels_of_columns

    best = stage.train(
        load_sets(prepared),
        load_split(split),
        lambda tracks: (
            labels_of_artists(tracks, tags) if tags else labels_of_columns(tracks, label_column)
        ),
        out,
        settings,
        resume=resume,
        tell=print_account,
    )
    console.print(f"best checkpoint: {best}")
