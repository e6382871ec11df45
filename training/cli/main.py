"""`tasteprint-train`: from logs and audio to a bundle, a command a stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from models.errors import TasteprintError
from training.cli import tasks
from training.cli.options import (
    WORKERS,
    Accelerator,
    BatchSize,
    BundleDir,
    CardVersion,
    CosineSchedule,
    CropS,
    Devices,
    Files,
    LearningRate,
    LoaderWorkers,
    MaxEpochs,
    Out,
    Patience,
    Precision,
    PreparedDir,
    Resume,
    Seed,
    Width,
    console,
    progress,
)
from training.errors import TrainingError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="""From listening logs and audio to a model that hears taste.

    In order: [bold]prepare[/] the audio, [bold]split[/] it by artist, [bold]factorize[/] the logs
    without the held-out artists, train the [bold]estimator[/], [bold]evaluate[/] it on the
    held-out artists, [bold]export[/] it as a bundle that the service serves. `make model` runs
    them all on the data that the shipped model was trained on.

    Then what it knows helps with few labels: read a [bold]dataset[/], [bold]compare[/] methods of
    transfer, and [bold]ship[/] one as a bundle; or fit a [bold]probe[/].
    """,
)
app.add_typer(tasks.app)
LogsFile = Annotated[Path, typer.Option("--logs", help="CSV or Parquet, one row a user and item.")]
UserColumn = Annotated[str, typer.Option(help="Column of the user id.")]
ItemColumn = Annotated[str, typer.Option(help="Column of the item id, the same in logs and audio.")]
CountColumn = Annotated[
    str | None, typer.Option(help="Column of play counts; default: heard or not.")
]
FactorsDir = Annotated[Path, typer.Option("--factors", help="Folder of `factorize`.")]
SplitFile = Annotated[Path, typer.Option("--split", help="File of `split`.")]
RunDir = Annotated[Path, typer.Option("--run", help="Folder of `estimator`.")]


@app.command()
def render(
    midi: Annotated[Path, typer.Option(help="Folder of .mid files, or a .tar.xz of them.")],
    out: Out,
    soundfont: Annotated[Path | None, typer.Option(help="Default: Debian's FluidR3 GM.")] = None,
    max_seconds: Annotated[float, typer.Option(help="Cut each rendering to this length.")] = 34.0,
    workers: Files = WORKERS,
) -> None:
    """Render MIDI files to 16 kHz mono FLAC with FluidSynth; what is there already is kept."""
    from training.audio import midi as stage

    failed = 0
    with stage.midi_files(midi) as files, progress() as bar:
        done = stage.render(
            files, out, soundfont=soundfont, max_seconds=max_seconds, workers=workers
        )
        for _, reason in bar.track(done, total=len(files), description="render"):
            if reason:
                failed += 1
                console.print(f"[yellow]refused[/] {reason}")
    console.print(f"{len(files) - failed} files in {out}, {failed} refused")


@app.command()
def prepare(
    manifest: Annotated[Path, typer.Option(help="CSV with a row a track.")],
    audio: Annotated[
        Path, typer.Option(help="Folder of the files; <track id>.* or column `path`.")
    ],
    out: Out,
    track_column: Annotated[str, typer.Option(help="Column of the track id.")] = "track_id",
    item_column: ItemColumn = "item_id",
    artist_column: Annotated[
        str | None, typer.Option(help="Column to split by; default: each item is its own artist.")
    ] = None,
    workers: Files = WORKERS,
) -> None:
    """Decode the middle 30 s of every track to memory-mapped 16 kHz windows; resumable.

    Bad files are listed in refused.csv with the reason, and skipped.
    """
    from training.audio import windows as stage
    from training.audio.manifest import read_manifest
    from training.networks.mel import WINDOW

    table = read_manifest(
        manifest,
        audio,
        track_column=track_column,
        item_column=item_column,
        artist_column=artist_column,
    )
    refused = 0
    with progress() as bar:
        records = stage.prepare(table, out, WINDOW, workers=workers)
        for record in bar.track(records, total=len(table), description="prepare"):
            refused += "reason" in record
    console.print(f"{len(table) - refused} windows in {out}, {refused} refused (refused.csv)")


@app.command()
def split(
    prepared: PreparedDir,
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    folds: Annotated[int, typer.Option(help="Number of folds the artists are dealt into.")] = 5,
    fold: Annotated[int, typer.Option(help="The one that is held out.")] = 0,
    validation: Annotated[float, typer.Option(help="Share of the other artists.")] = 0.1,
    seed: Seed = 0,
) -> None:
    """Deal artists into train, validation and test, so that none is on two sides.

    All tracks of the manifest are dealt, also those without usable audio: `factorize` leaves the
    logs of every item of a held-out artist out, so list them all in the manifest.
    """
    from training.audio.manifest import load_manifest
    from training.cf.artist_split import split_by_artist

    tracks = load_manifest(prepared)
    table = split_by_artist(tracks, n_folds=folds, fold=fold, validation=validation, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out, index=False)
    for part, rows in table.groupby("part"):
        console.print(f"{part}: {len(rows)} tracks of {rows['artist'].nunique()} artists")


@app.command()
def factorize(
    logs: LogsFile,
    out: Out,
    user_column: UserColumn = "user_id",
    item_column: ItemColumn = "item_id",
    count_column: CountColumn = None,
    split: Annotated[
        Path | None, typer.Option(help="File of `split`: leave its test items out.")
    ] = None,
    min_user_items: Annotated[int, typer.Option(help="Drop users with fewer items.")] = 1,
    min_item_users: Annotated[int, typer.Option(help="Drop items with fewer users.")] = 1,
    factors: Annotated[int, typer.Option(help="Length of a factor.")] = 40,
    regularization: Annotated[float, typer.Option(help="Penalty on long factors.")] = 1.0,
    alpha: Annotated[float, typer.Option(help="Confidence of an entry; of none: 1.")] = 10.0,
    iterations: Annotated[int, typer.Option(help="Sweeps over users and items.")] = 15,
    seed: Seed = 0,
) -> None:
    """Factorise listening logs by alternating least squares: item and user factors."""
    from training.cf import als as stage
    from training.cf.artist_split import items_of, load_split
    from training.cf.logs import read_logs
    from training.cf.settings import AlsSettings

    with console.status(f"reading {logs}"):
        table = read_logs(
            logs,
            user_column=user_column,
            item_column=item_column,
            count_column=count_column,
            exclude_items=items_of(load_split(split), ["test"]) if split else (),
            min_user_items=min_user_items,
            min_item_users=min_item_users,
        )
    settings = AlsSettings(factors, regularization, alpha, iterations, seed)
    with progress() as bar:
        task = bar.add_task("factorize", total=2 * iterations)  # with the check
        result = stage.factorize(table, settings, on_iteration=lambda: bar.advance(task))
    result.save(out)
    console.print_json(data=result.report)


@app.command()
def estimator(
    prepared: PreparedDir,
    factors: FactorsDir,
    split: SplitFile,
    out: Out,
    width: Width = 32,
    targets: Annotated[
        Literal["unit", "raw"], typer.Option(help="Factors at length 1, or as they are.")
    ] = "unit",
    batch_size: BatchSize = 16,
    learning_rate: LearningRate = 1e-3,
    max_epochs: MaxEpochs = 50,
    patience: Patience = 10,
    crop_s: CropS = 0.0,
    cosine_schedule: CosineSchedule = False,
    precision: Precision = "32-true",
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    workers: LoaderWorkers = 0,
    seed: Seed = 0,
    resume: Resume = True,
) -> None:
    """Train the CF estimator; stop and start it as you like."""
    from training.audio.windows import Prepared
    from training.cf.als import Factorization
    from training.cf.artist_split import load_split
    from training.estimator import train as stage
    from training.estimator.settings import EstimatorSettings

    settings = EstimatorSettings(
        width=width,
        targets=targets,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_epochs=max_epochs,
        patience=patience,
        crop_s=crop_s,
        cosine_schedule=cosine_schedule,
        precision=precision,
        accelerator=accelerator,
        devices=devices,
        workers=workers,
        seed=seed,
    )
    best = stage.train(
        Prepared.load(prepared),
        Factorization.load(factors),
        load_split(split),
        out,
        settings,
        resume=resume,
    )
    console.print(f"best checkpoint: {best}")


@app.command()
def evaluate(
    run: RunDir,
    prepared: PreparedDir,
    factors: FactorsDir,
    logs: LogsFile,
    out: Out,
    user_column: UserColumn = "user_id",
    item_column: ItemColumn = "item_id",
    count_column: CountColumn = None,
    min_listeners: Annotated[int, typer.Option(help="Of a held-out item that counts.")] = 10,
    redraw: Annotated[bool, typer.Option(help="Only redraw from what a run wrote.")] = False,
) -> None:
    """Measure a trained estimator on the held-out artists, beside its baselines and its ceiling."""
    from training.estimator import evaluate as stage
    from training.estimator import report

    if not redraw:
        with progress() as bar:
            stage.run(
                run,
                prepared,
                factors,
                logs,
                out,
                user_column=user_column,
                item_column=item_column,
                count_column=count_column,
                min_listeners=min_listeners,
                track=lambda label, items: bar.track(items, description=label),
            )
    console.print(report.redraw(out), markup=False, soft_wrap=True)


@app.command()
def export(
    run: RunDir,
    prepared: PreparedDir,
    out: BundleDir,
    data: Annotated[Path, typer.Option(help="JSON: a list of {name, use, licence}.")],
    factors: FactorsDir,
    evaluation: Annotated[
        Path | None, typer.Option(help="Folder of `evaluate`, for the card's metrics.")
    ] = None,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Write a trained estimator as a bundle, after proof that ONNX equals torch on real clips."""
    from training.export import estimator as stage

    result, errors = stage.export_run(
        run, prepared, out, data, factors, evaluation, card_version=card_version
    )
    for name, error in errors.items():
        console.print(f"{name}: ONNX within {error:.1e} of torch, relative to its scale")
    console.print(f"bundle {result.card.name} {result.card.version} {result.digest} in {out}")


@app.command()
def quantize(
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle, models/<name>.")],
    audio: Annotated[list[Path], typer.Option(help="Folder of real audio; may be given again.")],
    data: Annotated[Path, typer.Option(help="JSON: a list of {name, use, licence} of that audio.")],
    precision: Annotated[
        Literal["int8", "float16"], typer.Option(help="int8 for CPUs, float16 for GPUs.")
    ] = "int8",
    calibration: Annotated[
        int, typer.Option(min=1, help="Windows that int8 is calibrated on.")
    ] = 32,
    windows: Annotated[
        int, typer.Option(min=1, help="Most others, that the agreement is measured on.")
    ] = 400,
    least: Annotated[
        float, typer.Option(help="Agreement with float32 that a convolution in int8 must leave.")
    ] = 0.999,
    seed: Seed = 0,
) -> None:
    """Add an int8 or float16 graph to a bundle, and measure how near it comes to float32.

    By itself the service takes one whose least agreement is 0.999 or more, and int8 only where it
    is quicker. The card and the bundle's digest stay as they are.
    """
    from training.quantization import quantize as stage
    from training.quantization.settings import QuantizeSettings

    settings = QuantizeSettings(precision, calibration, windows, least, seed)
    with console.status(f"{precision} graph of {bundle}"):
        written, graph = stage.quantize(bundle, audio, data, settings)
    assert graph.agreement
    for name, near in graph.agreement.outputs.items():
        console.print(f"{name}: agreement with float32 {near.mean:.5f}, least {near.least:.5f}")
    console.print(f"{graph.agreement.windows} windows; {graph.file} in {written.folder}")


def main() -> None:
    """Run the command line; an error that its user can mend is one line, not a stack trace."""
    try:
        app()
    except (TrainingError, TasteprintError) as error:
        console.print(f"[bold red]error[/] {error}", highlight=False)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
