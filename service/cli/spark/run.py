"""A run on Spark: songs in jobs of some minutes, each kept as it is done."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from models.spark import SparkOptions, open_session
from service.cli.bundles import find_bundle
from service.cli.processes.engine import open_engine
from service.cli.scan import Summary, check_source, choose_missing
from service.cli.settings import local_settings
from service.cli.songs import Song, list_songs
from service.cli.spark.addresses import is_on_disk, is_uri, list_uris, open_files
from service.cli.spark.sinks import FolderSink, Sink, TableSink, row_type
from service.cli.spark.task import CONTENT, SHARED, EmbedTask, spark_schema
from service.cli.table import Source
from service.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# A task takes seconds, as its start takes a tenth of one; a job minutes, as cores wait at its end.
SONGS_OF_TASK, TASKS_OF_CORE = 64, 32
SONG_SCHEMA = pa.schema(
    [
        ("track_id", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("uri", pa.string()),
    ]
)
# Where Hadoop reads: files in a batch that a task gets, as all of their bytes are in memory, and
# bytes of a task, to which Spark adds 4 MiB for each file.
CONTENT_CONF = {
    "spark.sql.execution.arrow.maxRecordsPerBatch": "4",
    "spark.sql.files.maxPartitionBytes": "512m",
}
# Tasks that look at the files of a job; Spark's own number is one for each file.
LISTING_TASKS = "spark.sql.sources.parallelPartitionDiscovery.parallelism"
LISTING_TASKS_OF_CORE = 4


@dataclass(frozen=True)
class SparkRun:
    """What the command line asks for.

    Attributes
    ----------
    out : file of this machine, or a folder as a URI
    master, conf : as `models.spark.open_session` takes them
    on_plan : called with what makes the vectors and the songs that are missing
    on_row : called with each row's path, status and detail
    """

    files: Sequence[str]
    out: str
    model: str | None
    window: str
    features: bool
    precision: str
    retry_failed: bool
    master: str
    conf: Mapping[str, str]
    on_plan: Callable[[Source, int, Summary], None] = field(default=lambda *_: None)
    on_row: Callable[[str, str, str], None] = field(default=lambda *_: None)
    summary: Summary = field(default_factory=Summary)

    def embed(self) -> Summary:
        """Embed what is missing; Ctrl-C keeps the rows of the jobs that are done.

        Raises
        ------
        TasteprintError
        """
        with self._open_session() as session:
            sink = FolderSink(session, self.out) if is_uri(self.out) else TableSink(Path(self.out))
            songs = self._list(session)
            task, source = self._make_task(session, sink)
            check_source(sink, source)
            missing = choose_missing(
                songs, sink, retry_failed=self.retry_failed, summary=self.summary
            )
            self.on_plan(source, len(missing), self.summary)
            with self._counted():
                for part in _jobs(missing, session.sparkContext.defaultParallelism):
                    self._count(sink.write(_rows_of(session, part, task), source))
                sink.finish()
        return self.summary

    @contextmanager
    def _open_session(self) -> Iterator[SparkSession]:
        read_by_hadoop = any(is_uri(file) and not is_on_disk(file) for file in self.files)
        conf = (CONTENT_CONF if read_by_hadoop else {}) | dict(self.conf)
        options = SparkOptions(self.master, conf=conf, is_python=True)
        with open_session("tasteprint embed", options) as session:
            if LISTING_TASKS not in conf:
                n_tasks = LISTING_TASKS_OF_CORE * session.sparkContext.defaultParallelism
                session.conf.set(LISTING_TASKS, n_tasks)
            yield session

    def _list(self, session: SparkSession) -> list[Song]:
        if any(map(is_uri, self.files)):
            return list_uris(session, self.files)
        return list_songs(self.files, sys.stdin)

    def _make_task(self, session: SparkSession, sink: Sink) -> tuple[EmbedTask, Source]:
        """The task, and what it makes: opened here once, so that an error is found at the start."""
        known = sink.find_source()
        model = self.model or (known.model if known else None)
        precision = known.precision if known and self.precision == "auto" else self.precision
        settings = local_settings(model, precision, workers=1)
        source = asyncio.run(_source_of(settings, self.window, features=self.features))
        folder = find_bundle(source.model, settings.models_dir).folder
        files = {
            path.name: path.read_bytes()
            for path in folder.iterdir()
            if path.suffix in (".json", ".onnx")
        }
        shared = tuple((name, getattr(settings, name)) for name in SHARED)
        return EmbedTask(source, shared, session.sparkContext.broadcast(files)), source

    @contextmanager
    def _counted(self) -> Iterator[None]:
        began_s = time.monotonic()
        try:
            yield
        except KeyboardInterrupt:
            self.summary.interrupted = True
        finally:
            self.summary.seconds = time.monotonic() - began_s

    def _count(self, rows: pa.Table) -> None:
        columns = [rows[name].to_pylist() for name in ("path", "status", "detail")]
        for path, status, detail in zip(*columns, strict=True):
            self.summary.count(status)
            self.on_row(path, status, detail or "")


async def _source_of(settings: Settings, window: str, *, features: bool) -> Source:
    engine = await open_engine(settings, window, features=features)
    await engine.close()
    return engine.source


def _jobs(songs: Sequence[Song], n_cores: int) -> Iterator[Sequence[Song]]:
    size = SONGS_OF_TASK * TASKS_OF_CORE * n_cores
    for start in range(0, len(songs), size):
        yield songs[start : start + size]


def count_tasks(n_songs: int, n_cores: int) -> int:
    """Of a job: as many for each core, of at most `SONGS_OF_TASK` songs."""
    return min(n_songs, n_cores * math.ceil(n_songs / (n_cores * SONGS_OF_TASK)))


def _rows_of(session: SparkSession, songs: Sequence[Song], task: EmbedTask) -> DataFrame:
    """The rows of a job; what Hadoop reads is divided by bytes, and songs on disk by number."""
    columns = [
        [getattr(song, name) if name != "path" else str(song.path) for song in songs]
        for name in SONG_SCHEMA.names
    ]
    table = session.createDataFrame(pa.table(columns, schema=SONG_SCHEMA))
    if any(song.uri and not is_on_disk(song.uri) for song in songs):
        content = open_files(session, [song.uri for song in songs])
        content = content.selectExpr("path as uri", CONTENT)
        table = content.join(table.hint("broadcast"), "uri")  # files are not moved
        table = table.select(*SONG_SCHEMA.names, CONTENT)
    else:
        n_tasks = count_tasks(len(songs), session.sparkContext.defaultParallelism)
        table = table.repartition(n_tasks)
    source = task.source
    embed = task.embed
    return table.mapInArrow(lambda batches: embed(batches), row_type(source, spark_schema(source)))
