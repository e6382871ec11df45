"""Commands render, prepare, split and factorize: training audio and listening logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from models.spark import SparkOptions
from training.cf.settings import (
    PENALTIES,
    PENALTIES_PER_ENTRY,
    AlsSettings,
    Engine,
    SearchGrid,
)
from training.cli import checks
from training.cli.options import (
    WORKERS,
    AllowMissing,
    CountColumn,
    ItemColumn,
    LogsFiles,
    MinItemUsers,
    MinUserItems,
    Out,
    PatchCount,
    PatchSeconds,
    PreparedDirs,
    SparkConf,
    SparkFolder,
    SparkMaster,
    SumRepeats,
    TimeColumn,
    UserColumn,
    Workers,
    with_settings,
)
from training.cli.output import console, print_account, print_warning, progress
from training.errors import NothingPrepared
from training.networks.registry import DEFAULT_ENCODER

if TYPE_CHECKING:
    from models.card import AudioInput
    from training.cf.logs import Logs

app = typer.Typer()


@app.command()
def render(
    midi: Annotated[
        Path,
        typer.Option(
            help="Folder of .mid files, or a .tar.xz of them.", callback=checks.check_midi
        ),
    ],
    out: Out,
    soundfont: Annotated[Path | None, typer.Option(help="Default: Debian's FluidR3 GM.")] = None,
    max_seconds: Annotated[float, typer.Option(help="Cut each rendering to this length.")] = 34.0,
    workers: Workers = WORKERS,
) -> None:
    """Render MIDI files to 16 kHz mono FLAC with FluidSynth; existing renderings are kept."""
    from training.audio import midi as stage

    failed = 0
    with stage.midi_files(midi) as files, progress() as bar:
        done = stage.render(
            files, out, soundfont=soundfont, max_seconds=max_seconds, workers=workers
        )
        for _, reason in bar.track(done, total=len(files), description="render"):
            if reason:
                failed += 1
                console.print(f"[yellow]refused[/] {escape(reason)}")
    console.print(f"{len(files) - failed} files in {out}, {failed} refused")


@app.command()
def prepare(
    manifest: Annotated[
        Path,
        typer.Option(
            "--manifest",
            "--catalogue",
            help="CSV or Parquet, one row per track.",
            callback=checks.check_manifest,
        ),
    ],
    audio: Annotated[
        Path,
        typer.Option(
            "--audio",
            "--songs",
            help="Folder of the files; <track id>.*, also in subfolders, or column `path`.",
            callback=checks.check_audio_folder,
        ),
    ],
    out: Out,
    track_column: Annotated[str, typer.Option(help="Column of the track id.")] = "track_id",
    item_column: ItemColumn = "item_id",
    artist_column: Annotated[
        str | None, typer.Option(help="Column to split by; default: each item is its own artist.")
    ] = None,
    album_column: Annotated[
        str | None, typer.Option(help="Column of the album, which `similarity` can learn.")
    ] = None,
    title_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the title: tracks of one artist and title are one song, which "
            "`similarity` has on one side; default: `title`, if there is one."
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Encoder that will take the windows, a name in the registry: it sets their "
            f"length and sample rate; default: {DEFAULT_ENCODER}.",
            callback=checks.check_optional_encoder,
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Bundle of the encoder that will take the windows, in place of --encoder, "
            "--patches and --patch-s: its card states all three.",
            callback=checks.check_optional_bundle,
        ),
    ] = None,
    patches: PatchCount = 0,
    patch_s: PatchSeconds = 0.0,
    workers: Workers = WORKERS,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Also decode again the windows that are not as they were written."
        ),
    ] = False,
    engine: Annotated[
        Literal["local", "spark"],
        typer.Option(
            help="spark: tasks of Spark decode, on machines that reach --out and the files by the "
            "same paths; needs pyspark and Java."
        ),
    ] = "local",
    spark_master: SparkMaster = "local[*]",
    spark_conf: SparkConf = [],  # noqa: B006
) -> None:
    """Decode the middle of every track to memory-mapped windows, or to patches; resumable.

    Unreadable files are skipped and listed in refused.csv with the reason. The column notes of
    tracks.csv says where a file states another length than its audio has.
    """
    checks.check_heard(bundle, encoder, patches, patch_s)
    from training.audio import windows as stage
    from training.audio.manifest import read_manifest

    heard = _audio_of(bundle, encoder or DEFAULT_ENCODER, patches, patch_s)
    table = read_manifest(
        manifest,
        audio,
        track_column=track_column,
        item_column=item_column,
        artist_column=artist_column,
        album_column=album_column,
        title_column=title_column,
    )
    reasons: dict[str, str] = {}
    noted = 0
    options = SparkOptions(spark_master, conf=_properties(spark_conf), is_python=True)
    spark = options if engine == "spark" else None
    with progress() as bar:
        records = stage.prepare(table, out, heard, workers=workers, verify=verify, spark=spark)
        for record in bar.track(records, total=len(table), description="prepare"):
            if "reason" in record:
                reasons[record["track_id"]] = record["reason"]
            noted += bool(record.get("notes"))
    if len(reasons) == len(table):  # decoded in parallel, and named in the order of the manifest
        first = table["track_id"].iloc[0]
        reason = f"{first}: {reasons[first]}"
        raise NothingPrepared(len(table), audio, reason, out / "refused.csv")
    console.print(
        f"{len(table) - len(reasons)} windows in {out}, {len(reasons)} refused (refused.csv)"
    )
    if noted:
        console.print(f"{noted} files state another length than they have (tracks.csv, notes)")


def _properties(texts: list[str]) -> dict[str, str]:
    return dict(text.partition("=")[::2] for text in texts)


def _audio_of(bundle: Path | None, encoder: str, patches: int, patch_s: float) -> AudioInput:
    """The audio input of a bundle; without one, of an encoder in the registry."""
    if bundle is None:
        from training.networks.registry import encoder_class

        return encoder_class(encoder).patched_audio(patches, patch_s)
    from models.bundle import read

    return read(bundle).card.audio


@app.command()
def split(
    prepared: PreparedDirs,
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    fold: Annotated[int, typer.Option(help="The fold that is held out.", min=0, max=4)] = 0,
    validation: Annotated[
        float, typer.Option(help="Share of the other artists in the validation part.", min=0, max=1)
    ] = 0.1,
) -> None:
    """Assign artists to train, validation and test part; each artist is in one part.

    Artists are dealt into five folds by a hash of their name, so an artist is in the same fold of
    every data set. All tracks of the manifests are assigned, also those without usable audio:
    `factorize` excludes the logs of every item of a held-out artist, so the manifests should list
    all of them.
    """
    import pandas as pd

    from training.audio.manifest import load_manifest
    from training.estimator.artist_split import shared_items, split_by_artist

    tracks = pd.concat([load_manifest(folder) for folder in prepared], ignore_index=True)
    table = split_by_artist(tracks, fold=fold, validation=validation)
    shared = shared_items(tracks)
    if shared:
        item, artists = next(iter(shared.items()))
        print_warning(
            f"{len(shared)} item ids have several artists, who were put into one part: {item!r} is "
            f"of {', '.join(artists)}. If these are not one artist, the sets use the same id for "
            "different items: prepare one of them with another --item-column"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out, index=False)
    for part, rows in table.groupby("part"):
        console.print(f"{part}: {len(rows)} tracks of {rows['artist'].nunique()} artists")


@app.command()
@with_settings(AlsSettings)
def factorize(
    logs: LogsFiles,
    out: Out,
    settings: AlsSettings,
    allow_missing: AllowMissing = False,
    user_column: UserColumn = "user_id",
    item_column: ItemColumn = "item_id",
    count_column: CountColumn = None,
    time_column: TimeColumn = None,
    sum_repeats: SumRepeats = False,
    split: Annotated[
        Path | None,
        typer.Option(help="File of `split`: exclude its test items.", callback=checks.check_split),
    ] = None,
    min_user_items: MinUserItems = 1,
    min_item_users: MinItemUsers = 1,
    engine: Annotated[
        Engine, typer.Option(help="What factorises; spark needs pyspark, Java and a cluster.")
    ] = Engine.IMPLICIT,
    spark_master: SparkMaster = "local[*]",
    spark_folder: SparkFolder = None,
    spark_conf: SparkConf = [],  # noqa: B006
    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="First choose penalty, alpha and iterations by nDCG@10 of held-out entries; "
            "writes search.csv and search.svg; resumable.",
        ),
    ] = False,
    search_regularization: Annotated[
        str | None, typer.Option(help="Penalties to search, separated by commas.")
    ] = None,
    search_alpha: Annotated[str | None, typer.Option(help="Values of alpha to search.")] = None,
    search_iterations: Annotated[
        str | None, typer.Option(help="Numbers of iterations to search.")
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Fit a second time without held-out entries, and rank those.")
    ] = True,
) -> None:
    """Factorise listening logs by alternating least squares into item and user factors.

    Prints the report and `space`, a digest of the factors: `evaluate`, `export` and the service
    refuse to mix vectors of different spaces.
    """
    values = (search_regularization, search_alpha, search_iterations)
    grid = _grid_of(settings, *map(checks.parse_values, values))
    from training.cf import als as stage
    from training.cf.logs import read_logs
    from training.estimator.artist_split import load_split
    from training.estimator.fitted_logs import read_fitted_logs

    spark = SparkOptions(spark_master, spark_folder, _properties(spark_conf))
    parts = load_split(split) if split else None
    with console.status(f"reading {', '.join(map(str, logs))}"):
        table, accounts = read_fitted_logs(
            lambda excluded: read_logs(
                logs,
                user_column=user_column,
                item_column=item_column,
                count_column=count_column,
                time_column=time_column,
                sum_repeats=sum_repeats,
                exclude_items=excluded,
                min_user_items=min_user_items,
                min_item_users=min_item_users,
            ),
            parts,
            allow_missing=allow_missing,
        )
    for account in accounts:
        print_account(account)
    if search:
        settings = _search(table, settings, grid, out, engine, spark)
    with progress() as bar:
        # Twice: the factors are fitted once more without held-out entries, as a check.
        task = bar.add_task("factorize", total=(1 + check) * settings.iterations)
        result = stage.factorize(
            table,
            settings,
            check=check,
            engine=engine,
            spark=spark,
            on_iteration=lambda: bar.advance(task),
        )
    result.report["accounts"] = [account.to_json() for account in accounts]
    result.save(out)
    console.print_json(data=result.report | {"space": result.space})


def _grid_of(
    settings: AlsSettings,
    penalties: tuple[float, ...],
    alphas: tuple[float, ...],
    iterations: tuple[float, ...],
) -> SearchGrid:
    """The values that are given, and defaults for the others."""
    weighted = settings.weighted_regularization
    grid = SearchGrid(penalties or (PENALTIES_PER_ENTRY if weighted else PENALTIES))
    return replace(
        grid,
        alpha=alphas or grid.alpha,
        iterations=tuple(map(int, iterations)) or grid.iterations,
    )


def _search(
    logs: Logs,
    settings: AlsSettings,
    grid: SearchGrid,
    out: Path,
    engine: Engine,
    spark: SparkOptions,
) -> AlsSettings:
    from training.cf.search import FIGURE, SEARCH, search

    with progress() as bar:
        task = bar.add_task("search", total=grid.n_combinations)
        found = search(
            logs,
            settings,
            grid,
            out,
            engine=engine,
            spark=spark,
            on_fit=lambda record: bar.advance(task),
        )
    chosen = f"regularization {found.regularization:g}, alpha {found.alpha:g}"
    console.print(
        f"best nDCG@10: {chosen}, {found.iterations} iterations ({SEARCH} and {FIGURE} in {out})"
    )
    return found
