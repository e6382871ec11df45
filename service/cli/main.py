"""Command `tasteprint`: embed songs, look at models, serve."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from models.errors import TasteprintError
from service.cli.output import (
    FAILED_TO_RUN,
    INTERRUPTED,
    SOME_FAILED,
    fail,
    make_progress,
    say,
    show_failure,
)

if TYPE_CHECKING:
    from service.cli.engine import Engine
    from service.cli.scan import Summary
    from service.cli.songs import Song
    from service.cli.table import EmbeddingTable, Row

app = typer.Typer(
    help="Tasteprint: what a song is like, from its sound.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="Models: list, show, verify.", no_args_is_help=True)
app.add_typer(models_app, name="models")


def _check_properties(properties: list[str]) -> list[str]:
    wrong = next((text for text in properties if not text.partition("=")[2]), None)
    if wrong is not None:
        raise typer.BadParameter(f"{wrong!r} is no name=value")
    return properties


def _check_window(window: str) -> str:
    from models.audio.window_choice import WindowChoice

    try:
        return WindowChoice.parse(window).text
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Window = Annotated[
    str, typer.Option(help="middle, start, all, or an offset in seconds.", callback=_check_window)
]
Files = Annotated[
    list[str], typer.Argument(help="Files and folders; - reads paths from standard input.")
]
Url = Annotated[
    str | None,
    typer.Option(help="Service that embeds, such as http://127.0.0.1:8000; default: this machine."),
]
ApiKeyFile = Annotated[
    Path | None, typer.Option(help="File with the service's API key, where it requires one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="A JSON object for each song.")]
CatalogueFile = Annotated[
    Path | None,
    typer.Option(help="Catalogue of `tasteprint index`; default: that of the service's settings."),
]
PrecisionChoice = Literal["auto", "float32", "int8", "float16"]


@app.command()
def embed(
    files: Files,
    out: Annotated[
        str,
        typer.Option(
            help="Parquet file; a run that was stopped goes on with it. With --engine spark also a "
            "folder, as a URI such as hdfs://host/embeddings."
        ),
    ],
    model: Annotated[str | None, typer.Option(help="Encoder; default: cf-estimator.")] = None,
    window: Window = "middle",
    features: Annotated[bool, typer.Option(help="Keep the penultimate layer too.")] = True,
    precision: Annotated[
        PrecisionChoice,
        typer.Option(help="Of the graph; auto: the fastest, chosen once and kept with the file."),
    ] = "auto",
    workers: Annotated[int, typer.Option(help="Processes; 0: one for each core.", min=0)] = 0,
    url: Url = None,
    api_key_file: ApiKeyFile = None,
    engine: Annotated[
        Literal["local", "spark"],
        typer.Option(
            help="spark: tasks of Spark embed, and paths may be URIs that Hadoop reads; needs "
            "pyspark and Java."
        ),
    ] = "local",
    spark_master: Annotated[
        str,
        typer.Option(help="Where Spark runs; empty: as spark-defaults.conf or spark-submit says."),
    ] = "local[*]",
    spark_conf: Annotated[
        list[str],
        typer.Option(
            help="Property of the Spark session, as spark.driver.memory=8g; may be given more than "
            "once.",
            callback=_check_properties,
        ),
    ] = [],  # noqa: B006
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try files again that failed in earlier runs.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON on standard output.")
    ] = False,
) -> None:
    """Embed songs into a Parquet file.

    Files that fail are rows too, and are not tried again unless asked. Exit status: 0 all done; 1
    could not run; 2 usage; 3 finished, and some files failed; 130 interrupted, and can go on.
    """
    from service.cli.songs import list_songs
    from service.cli.table import EmbeddingTable

    try:
        if engine == "spark":
            if url or workers:
                raise typer.BadParameter("--url and --workers are not for --engine spark")
            conf = dict(text.partition("=")[::2] for text in spark_conf)
            from service.cli.spark.run import SparkRun
            from service.cli.spark.view import embed_on_spark

            run = SparkRun(
                files=files,
                out=out,
                model=model,
                window=window,
                features=features,
                precision=precision,
                retry_failed=retry_failed,
                master=spark_master,
                conf=conf,
            )
            _finish(embed_on_spark(run), out, as_json=as_json)
        table = EmbeddingTable(Path(out))
        known = table.find_source()
        songs = list_songs(files, sys.stdin)
        summary = asyncio.run(
            _embed(
                songs,
                table,
                model=model or (known.model if known else None),
                window=window,
                features=features,
                precision=known.precision if known and precision == "auto" else precision,
                workers=workers,
                url=url,
                api_key=api_key_file.read_text().strip() if api_key_file else None,
                retry_failed=retry_failed,
            )
        )
    except (TasteprintError, OSError) as error:
        fail(error)
    except KeyboardInterrupt:  # before the first song: there is nothing to keep
        raise typer.Exit(INTERRUPTED) from None
    _finish(summary, out, as_json=as_json)


async def _embed(
    songs: list[Song],
    table: EmbeddingTable,
    *,
    model: str | None,
    window: str,
    features: bool,
    precision: str,
    workers: int,
    url: str | None,
    api_key: str | None,
    retry_failed: bool,
) -> Summary:
    from service.cli.scan import Summary, check_source, choose_missing, scan

    summary = Summary()
    engine: Engine
    if url:
        from service.cli.remote import RemoteEngine

        engine = await RemoteEngine.open(url, api_key, model, window, features=features)
    else:
        from service.cli.processes.engine import open_engine
        from service.cli.settings import local_settings

        settings = local_settings(model, precision, workers)
        engine = await open_engine(settings, window, features=features)
    try:
        check_source(table, engine.source)
        missing = choose_missing(songs, table, retry_failed=retry_failed, summary=summary)
        say(f"{engine.source.describe()}; {summary.known} known")
        with make_progress() as bar:
            task = bar.add_task("embed", total=len(missing))

            def show(row: Row) -> None:
                bar.advance(task)
                if row.status != "ok":
                    show_failure(bar, row.song.address, row.detail)

            await scan(missing, engine, table, summary, show)
    finally:
        await engine.close()
    return summary


def _finish(summary: Summary, out: str, *, as_json: bool) -> NoReturn:
    """Say what was done, and end with the status that fits."""
    if as_json:
        print(json.dumps(asdict(summary) | {"out": out}))
    rate = summary.embedded / summary.seconds if summary.seconds else 0.0
    say(f"{out}: {summary.embedded} embedded ({rate:.1f} a second), {summary.known} known before")
    for problem, count in sorted(summary.problems.items()):
        say(f"  {count} {problem}")
    n_failed = summary.failed + summary.known_failed
    if summary.interrupted:
        say("interrupted; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    if n_failed:
        say(f"{n_failed} files failed; --retry-failed tries them again")
        raise typer.Exit(SOME_FAILED)
    raise typer.Exit(0)


@app.command()
def classify(
    task: Annotated[str, typer.Argument(help="genre, mood, emotion, tags, sounds, or your own.")],
    files: Files,
    window: Window = "middle",
    as_json: AsJson = False,
) -> None:
    """Labels or values of songs, by the model of a task."""
    from service.cli.analyze import model_of_task
    from service.cli.bundles import folder_of

    try:
        name = model_of_task(task, folder_of(None))
    except (TasteprintError, OSError) as error:
        fail(error)
    _analyze(files, [name], window, as_json=as_json)


@app.command()
def analyze(
    files: Files,
    models: Annotated[
        str, typer.Option(help="Names separated by commas; by default the default models.")
    ] = "",
    window: Window = "middle",
    as_json: AsJson = False,
) -> None:
    """What every model says of songs."""
    names = [name.strip() for name in models.split(",") if name.strip()]
    _analyze(files, names, window, as_json=as_json)


def _analyze(files: list[str], names: list[str], window: str, *, as_json: bool) -> NoReturn:
    from service.cli.songs import list_songs

    try:
        n_failed = asyncio.run(
            _print_answers(list_songs(files, sys.stdin), names, window, as_json=as_json)
        )
    except (TasteprintError, OSError) as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if n_failed:
        say(f"{n_failed} files failed")
    raise typer.Exit(SOME_FAILED if n_failed else 0)


async def _print_answers(songs: list[Song], names: list[str], window: str, *, as_json: bool) -> int:
    """Print each song's answers; returns the number of songs without any."""
    from service.cli.analyze import analyze_songs, describe
    from service.schemas.responses import Analysis

    n_failed = 0
    async for song, answer in analyze_songs(songs, names, window):
        if not isinstance(answer, Analysis):
            n_failed += 1
            say(f"failed {song.path}: {answer}")
        elif as_json:
            body = answer.model_dump(exclude_none=True)
            print(json.dumps({"file": str(song.path)} | body, ensure_ascii=False))
        else:
            for name, model in answer.models.items():
                print(f"{song.path}  {name}: {describe(model)}")
    return n_failed


@app.command()
def index(
    embeddings: Annotated[
        str,
        typer.Argument(
            help="Parquet file of `tasteprint embed`, folder of `embed --engine spark` on this "
            "machine, or folder of `tasteprint-train factorize`."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Catalogue to write; an old one is replaced at once.")],
    metadata: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet with track_id, and title or artist or both."),
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(help="Folder of `factorize` with the users' factors, for `listeners`."),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(help="Of item factors: embedded songs, by whose mean queries are centred."),
    ] = None,
    prefix: Annotated[str, typer.Option(help="Of item factors: begins each track id.")] = "",
    about: Annotated[str, typer.Option(help="Where the songs are from, and their licence.")] = "",
) -> None:
    """Make a catalogue of embedded songs, for `similar`, or of the items of listening logs."""
    from models.catalogue.journal import journal_of
    from service.cli.catalogue import index as make
    from service.cli.spark.addresses import local_path
    from service.cli.spark.folder import is_table

    try:
        table = local_path(embeddings)
        made = make(
            table,
            metadata,
            out,
            users=users,
            queries=local_path(queries) if queries else None,
            prefix=prefix,
            about=about,
        )
    except (TasteprintError, OSError) as error:
        fail(error)
    left_out = "failed rows" if is_table(table) else "items without metadata"
    say(f"{out}: {made.tracks} tracks; {made.failed} {left_out} left out")
    if users:
        say(f"{out}: {made.users} users")
    if journal_of(out).exists():
        say(f"{journal_of(out)} stays: its songs, put and deleted over HTTP, come on top")
    if metadata:
        say(f"{metadata}: {made.metadata_rows} rows, of {made.named} tracks of the catalogue")


@app.command()
def similar(
    seeds: Annotated[list[str], typer.Argument(help="Track ids of the catalogue, or audio files.")],
    catalogue: CatalogueFile = None,
    limit: Annotated[int, typer.Option(help="Number of songs.", min=1)] = 10,
    exclude_same_artist: Annotated[
        bool, typer.Option("--exclude-same-artist", help="Leave out the artists of the seeds.")
    ] = False,
    max_per_artist: Annotated[
        int, typer.Option(help="Songs of one artist; 0: any number.", min=0)
    ] = 0,
    min_cosine: Annotated[float, typer.Option(help="From -1 to 1.", min=-1, max=1)] = -1.0,
    as_json: AsJson = False,
) -> None:
    """Find the songs nearest to one or several; never a seed itself or a copy of it."""
    from models.catalogue import Filters
    from service.cli.catalogue import find_similar, open_catalogue

    filters = Filters(limit, exclude_same_artist, max_per_artist, min_cosine)
    try:
        hits = asyncio.run(find_similar(open_catalogue(catalogue), seeds, filters))
    except (TasteprintError, OSError) as error:
        fail(error)
    for hit in hits:
        if as_json:
            print(json.dumps(asdict(hit), ensure_ascii=False))
        else:
            names = " – ".join(filter(None, (hit.artist, hit.title)))
            place = f"{hit.rank:>4}  {hit.cosine:6.3f}  {hit.percentile:5.1f} %"
            print(f"{place}  {hit.track_id}  {names}")


@app.command()
def listeners(
    seeds: Annotated[list[str], typer.Argument(help="Track ids of the catalogue, or audio files.")],
    catalogue: CatalogueFile = None,
    limit: Annotated[int, typer.Option(help="Number of users.", min=1)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object for each user.")] = False,
) -> None:
    """Find the users most likely to like a song, or several together."""
    from service.cli.catalogue import find_listeners, open_catalogue

    try:
        ranked = asyncio.run(find_listeners(open_catalogue(catalogue), seeds, limit))
    except (TasteprintError, OSError) as error:
        fail(error)
    for user in ranked:
        if as_json:
            print(json.dumps(asdict(user), ensure_ascii=False))
        else:
            print(f"{user.rank:>4}  {user.score:7.4f}  {user.percentile:5.1f} %  {user.user_id}")


@models_app.command("list")
def list_models(
    models_dir: Annotated[Path | None, typer.Option(help="Folder of bundles.")] = None,
) -> None:
    """List the models: name, version, kind, task, CF space."""
    from service.cli.bundles import list_bundles

    print(list_bundles(models_dir))


@models_app.command("show")
def show_model(
    name: str, models_dir: Annotated[Path | None, typer.Option(help="Folder of bundles.")] = None
) -> None:
    """Print a model's card as JSON."""
    from service.cli.bundles import show_card

    try:
        print(show_card(name, models_dir))
    except (TasteprintError, OSError) as error:
        fail(error)


@models_app.command("verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="Models; default: all.")] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of bundles.")] = None,
) -> None:
    """Check cards, digests and graphs, and run each graph once."""
    from service.cli.bundles import verify

    try:
        problems = verify(names or [], models_dir, print)
    except (TasteprintError, OSError) as error:
        fail(error)
    if problems:
        raise typer.Exit(FAILED_TO_RUN)


@app.command()
def serve() -> None:
    """Start the service; its settings are environment variables, `tasteprint-serve --help`."""
    from service.__main__ import main as start

    sys.argv = sys.argv[:1]
    start()


def main() -> None:
    app(prog_name="tasteprint")


if __name__ == "__main__":
    main()
