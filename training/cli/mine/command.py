"""Command that makes a served model of songs and plays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.mine.view import View, can_ask, choose
from training.cli.options import WORKERS, AllowMissing, OnDemand, Workers, with_settings
from training.cli.output import console, print_error, print_parity, progress
from training.errors import NotBetter
from training.mine.network.settings import NetworkSettings
from training.mine.settings import Columns, MineSettings, Places, Sources

app = typer.Typer()
ENCODERS = ("musicnn-msd", "musicnn-mtt", "cf-estimator")
NOT_BETTER, STOPPED = 3, 130
Column = Annotated[str | None, typer.Option(help="Default: guessed by its usual names.")]


@app.command()
@with_settings(NetworkSettings, parameter="network")
@with_settings(MineSettings)
def mine(
    songs: Annotated[
        Path, typer.Option(help="Folder of audio files.", callback=checks.check_songs)
    ],
    plays: Annotated[
        list[Path],
        typer.Option(
            help="CSV, TSV or Parquet: who played what, one row for each play or with their "
            "number; a file, folder or pattern. May be given more than once.",
            callback=checks.check_plays,
        ),
    ],
    settings: MineSettings,
    network: NetworkSettings,
    catalogue: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet: id, artist and title of each song; default: a file's name is its "
            "id, and each song is by an artist of its own.",
            callback=checks.check_optional_table,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "mine",
    models_dir: Annotated[
        Path, typer.Option("--models", help="Folder of the bundles, as the service reads it.")
    ] = Path("models"),
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of the stages, which a stopped run goes on with: runs/<name>."),
    ] = None,
    encoder: Annotated[
        list[Path],
        typer.Option(
            help="Bundle of MusiCNN's architecture to fit on; may be given more than once. "
            f"Default: {', '.join(ENCODERS)}."
        ),
    ] = [],  # noqa: B006
    update: Annotated[
        bool,
        typer.Option("--update", help="Keep the encoder of the model, and fit on these plays."),
    ] = False,
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="Export a model that is no better than the mean vector."),
    ] = False,
    user_column: Column = None,
    item_column: Column = None,
    count_column: Column = None,
    track_column: Column = None,
    artist_column: Column = None,
    title_column: Column = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="JSON: a list of {name, use, licence} of the training data; default: your own.",
            callback=checks.check_optional_data,
        ),
    ] = None,
    workers: Workers = WORKERS,
    on_demand: OnDemand = False,
    allow_missing: AllowMissing = False,
) -> None:
    """Make a served model of songs and plays, from forty songs on.

    Decodes the songs, factorises the plays, fits ridge regressions on several frozen encoders,
    judges them on held-out artists, fine-tunes the best one's network too where there are songs
    enough, fits what is best on all songs, and writes the bundle models/<name> with its CF space
    and a catalogue. The same command goes on where it was stopped, and raises the version where
    something has changed.

    Exit codes: 0, a bundle is there; 1, an error with its remedy; 2, a wrong option; 3, the model
    is no better than the mean vector; 130, stopped.
    """
    bundle = models_dir / name
    checks.check_bundle_name(bundle)
    places = Places(
        work or Path("runs") / name,
        bundle,
        tuple(encoder) or tuple(models_dir / usual for usual in ENCODERS),
    )
    columns = Columns(
        user_column, item_column, count_column, track_column, artist_column, title_column
    )
    checks.check_bundles(list(places.encoders))
    from training.export.bundle import read_data
    from training.mine.bundle import Export, default_data
    from training.mine.inputs import read_inputs
    from training.mine.run import Wishes
    from training.mine.run import mine as run

    wishes = Wishes(anyway, update, not on_demand, workers, network)
    try:
        inputs = read_inputs(
            Sources(songs, tuple(plays), catalogue, columns),
            lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
            choose if can_ask() else None,
            allow_missing=allow_missing,
        )
        stated = read_data(data) if data else default_data(inputs)
        with progress() as bar:
            outcome = run(
                inputs, places, settings, wishes, Export(bundle, "", stated, None), View(bar)
            )
    except NotBetter as error:
        print_error(error)
        console.print(f"report: {places.work / 'report.md'}", highlight=False, soft_wrap=True)
        raise typer.Exit(NOT_BETTER) from error
    except KeyboardInterrupt as stop:
        console.print("stopped; the same command goes on where it was", highlight=False)
        raise typer.Exit(STOPPED) from stop
    print_parity(outcome.parity, "torch")
    state = "is in" if outcome.is_new else "is unchanged in"
    lines = [
        f"{name} {outcome.version} {state} {bundle}: {outcome.verdict.describe()}",
        f"report: {outcome.report}",
        f"serve it: TASTEPRINT_DEFAULT_MODEL={name} make serve; a service that runs takes it on "
        "SIGHUP",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
