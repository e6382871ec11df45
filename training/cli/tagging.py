"""Command that trains an encoder on labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.options import Out, PreparedDirs, Resume, with_settings
from training.cli.output import console, print_account
from training.tagging.settings import TaggingSettings

app = typer.Typer()


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
