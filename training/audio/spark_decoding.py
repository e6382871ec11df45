"""Decoding by tasks of Spark, which write the same shards on a disk that all machines reach."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from models.card import AudioInput
from models.spark import SparkOptions, open_session
from training.audio.decoding import Job, decode_jobs, refuse_crash
from training.audio.processes import map_in_processes

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A task takes seconds, as its start takes a tenth of one; a job minutes, as cores wait at its end.
SONGS_OF_TASK, TASKS_OF_CORE = 64, 32
SCHEMA = pa.schema([("row", pa.int64()), ("track_id", pa.string()), ("path", pa.string())])
RECORD, ERROR = "record", "os_error"
# Decodes tracks, and gives their records.
Work = Callable[[Sequence[Job]], list[dict[str, Any]]]


def decode_on_spark(
    options: SparkOptions, jobs: Sequence[Job], out: Path, audio: AudioInput
) -> Generator[dict[str, Any]]:
    """Records of the tracks, as `training.audio.decoding.decode_jobs` makes them.

    Parameters
    ----------
    out : absolute, and the same on every machine

    Raises
    ------
    MissingSpark
    OSError
        If a window cannot be written.
    """
    work = partial(decode_jobs, out, audio)
    with open_session("tasteprint-train prepare", options) as session:
        size = SONGS_OF_TASK * TASKS_OF_CORE * session.sparkContext.defaultParallelism
        for start in range(0, len(jobs), size):
            yield from _run(session, jobs[start : start + size], work)


def _run(session: SparkSession, jobs: Sequence[Job], work: Work) -> Iterator[dict[str, Any]]:
    """The records of one job of Spark; where a file ends its task, each in a process of its own."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        found = _collect(session, jobs, work, is_apart=False)
    except (Py4JJavaError, PySparkException):
        found = _collect(session, jobs, work, is_apart=True)
    for record in found:
        if ERROR in record:
            raise OSError(*record[ERROR])
        yield record


def _collect(
    session: SparkSession, jobs: Sequence[Job], work: Work, *, is_apart: bool
) -> list[dict[str, Any]]:
    table = pa.Table.from_pylist([asdict(job) for job in jobs], SCHEMA)
    n_tasks = max(session.sparkContext.defaultParallelism, -(-len(jobs) // SONGS_OF_TASK))
    tracks = session.createDataFrame(table).repartition(min(n_tasks, len(jobs)))
    decode = partial(_decode, work=work, is_apart=is_apart)
    records = tracks.mapInArrow(lambda batches: decode(batches), f"{RECORD} string")
    return [json.loads(text) for text in records.toArrow()[RECORD].to_pylist()]


def _decode(
    batches: Iterable[pa.RecordBatch], work: Work, *, is_apart: bool
) -> Iterator[pa.RecordBatch]:
    """In a task: decode tracks, and give their records as JSON."""
    for batch in batches:
        jobs = [Job(**columns) for columns in batch.to_pylist()]
        records: list[dict[str, Any]]
        try:
            records = (
                list(map_in_processes(work, jobs, 1, refuse_crash)) if is_apart else work(jobs)
            )
        except OSError as error:  # its fields, as Spark sends a text alone
            records = [{ERROR: [error.errno, error.strerror, error.filename]}]
        yield pa.RecordBatch.from_pydict({RECORD: [json.dumps(record) for record in records]})
