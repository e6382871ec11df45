"""A task of Spark: songs in, rows out, by the engine of the command line on one thread."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from service.cli.errors import BadArgument
from service.cli.processes.engine import open_engine
from service.cli.settings import local_settings
from service.cli.songs import Song
from service.cli.table import Row, Source, bitmap, schema_of, table_of
from service.settings import Settings

if TYPE_CHECKING:
    from pyspark import Broadcast

CONTENT = "content"
# Columns of vectors, which a source states the lengths of.
VECTORS = ("embedding", "features")
Convert = Callable[[pa.Array, int], pa.Array]
# Settings of the driver that decide what a row says.
SHARED = (
    "decode_memory_bytes",
    "decode_timeout_s",
    "infer_timeout_s",
    "max_windows",
    "require_sandbox",
)


@dataclass(frozen=True)
class EmbedTask:
    """What every task of a run does; it is sent to the machines of the cluster.

    Attributes
    ----------
    settings : those of `SHARED`
    bundle : the model's files by name, as no other machine need have them
    """

    source: Source
    settings: tuple[tuple[str, Any], ...]
    bundle: Broadcast[Mapping[str, bytes]]

    def embed(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows of songs: columns of `Song`, and `content` where Hadoop has read the files."""
        engine = engine_of(self)
        for batch in batches:
            rows = [engine.embed(song) for song in batch.to_pylist()]
            yield from to_spark(table_of(rows, self.source), self.source).to_batches()


class TaskEngine:
    """The engine of one Python process of Spark, which lives for many tasks: one song at a time."""

    def __init__(self, task: EmbedTask) -> None:
        self._loop = asyncio.new_event_loop()
        source = task.source
        opening = open_engine(_settings_of(task), source.window, features=bool(source.features))
        self._engine = self._loop.run_until_complete(opening)
        if self._engine.source != source:
            raise BadArgument(
                f"this machine of the cluster has {self._engine.source.describe()}, and the driver "
                f"{source.describe()}",
                remedy="install the same version of tasteprint on every machine",
            )

    def embed(self, columns: Mapping[str, Any]) -> Row:
        given = dict(columns)
        content = given.pop(CONTENT, None)
        song = Song(**given | {"path": Path(given["path"])})
        if content is None:
            return self._loop.run_until_complete(self._engine.embed(song))
        with tempfile.NamedTemporaryFile(suffix=song.path.suffix) as file:
            file.write(content)
            file.flush()
            copy = replace(song, path=Path(file.name))
            return replace(self._loop.run_until_complete(self._engine.embed(copy)), song=song)


# The engine of this process, by what its rows depend on.
_ENGINES: dict[tuple[object, ...], TaskEngine] = {}


def engine_of(task: EmbedTask) -> TaskEngine:
    """The engine of this process, kept from one task to the next."""
    key = task.source, task.settings
    if key not in _ENGINES:
        _ENGINES[key] = TaskEngine(task)
    return _ENGINES[key]


def to_spark(table: pa.Table, source: Source) -> pa.Table:
    """With lists of any length, as Spark has no other."""
    return _with_lists(table, spark_schema(source), source, _to_variable)


def from_spark(table: pa.Table, source: Source) -> pa.Table:
    """Rows as the command line's table has them."""
    return _with_lists(table, schema_of(source), source, _to_fixed)


def _with_lists(table: pa.Table, schema: pa.Schema, source: Source, convert: Convert) -> pa.Table:
    """Not by Arrow's cast between kinds of lists: of a column of nulls it crashes (pyarrow 26)."""
    columns = []
    for field in schema:
        column = table[field.name]
        if field.name in VECTORS:
            column = convert(column.combine_chunks(), getattr(source, field.name))
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def _to_variable(vectors: pa.Array, size: int) -> pa.Array:
    known = vectors.is_valid().to_numpy(zero_copy_only=False)
    ends = size * np.cumsum([0, *known], dtype=np.int32)
    buffers = [bitmap(known), pa.py_buffer(ends)]
    kind = pa.list_(pa.float32())
    return pa.Array.from_buffers(kind, len(known), buffers, children=[vectors.flatten()])


def _to_fixed(vectors: pa.Array, size: int) -> pa.Array:
    known = vectors.is_valid().to_numpy(zero_copy_only=False)
    values = np.zeros((len(known), size), np.float32)
    values[known] = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return pa.FixedSizeListArray.from_arrays(values.ravel(), size, mask=pa.array(~known))


def spark_schema(source: Source) -> pa.Schema:
    fields = [
        field.with_type(pa.list_(pa.float32()))
        if pa.types.is_fixed_size_list(field.type)
        else field
        for field in schema_of(source)
    ]
    return pa.schema(fields)


def _settings_of(task: EmbedTask) -> Settings:
    from pyspark import SparkFiles

    source = task.source
    # Below the folder that Spark removes with the application.
    models = Path(SparkFiles.getRootDirectory()) / f"tasteprint-{source.digest}"
    _place(models / source.model, task.bundle.value)
    settings = local_settings(source.model, source.precision, workers=1)
    changes = dict(task.settings) | {"models_dir": models}
    return settings.model_copy(update=changes)


def _place(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle where it is not; of several processes that do so at once, one wins."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    for name, content in files.items():
        (part / name).write_bytes(content)
    try:
        part.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(part)
        if not folder.exists():
            raise
