"""Parquet file of embeddings: part files while a run goes on, one sorted file at its end.

A run that is killed goes on from its parts. The same songs and model give the same file to the last
byte, whenever the run was stopped.

Columns are made of buffers, and files read by `ParquetFile`: `pyarrow.array` and `read_table`
import pandas wherever it is installed, which takes half a second.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow.lib import StringBuilder

from models.atomic_write import write_atomically
from service.cli.errors import BadArgument
from service.cli.songs import Song

METADATA = b"tasteprint"
SCHEMA_VERSION = 1
OK = "ok"


@dataclass(frozen=True)
class Source:
    """What made the vectors of a file: rows of two sources are never in one file.

    Attributes
    ----------
    space : CF space of the embeddings; None of a model that predicts none
    window : `middle`, `start`, `all`, or an offset in seconds
    features : length of the penultimate layer in the file; 0 without it
    """

    model: str
    version: str
    digest: str
    precision: str
    space: str | None
    window: str
    embedding: int
    features: int

    def describe(self) -> str:
        space = f", CF space {self.space[:12]}" if self.space else ""
        return f"{self.model} {self.version} ({self.digest[:12]}, {self.precision}{space})"


@dataclass(frozen=True)
class Row:
    """The result of a song: `ok`, or the type of its problem and what was wrong."""

    song: Song
    status: str
    detail: str = ""
    sha256: str = ""
    duration_s: float | None = None
    codec: str | None = None
    embedding: Sequence[float] | NDArray[np.float32] | None = None
    features: Sequence[float] | NDArray[np.float32] | None = None


def schema_of(source: Source) -> pa.Schema:
    """Columns of the file; its metadata states the source as JSON."""
    columns: list[tuple[str, Any]] = [
        ("track_id", pa.string()),
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("duration_s", pa.float64()),
        ("codec", pa.string()),
        ("window", pa.string()),
        ("embedding", pa.list_(pa.float32(), source.embedding)),
    ]
    if source.features:
        columns.append(("features", pa.list_(pa.float32(), source.features)))
    columns += [("status", pa.string()), ("detail", pa.string())]
    stated = json.dumps(describe_source(source), sort_keys=True)
    return pa.schema(columns, metadata={METADATA: stated.encode()})


def describe_source(source: Source) -> dict[str, Any]:
    """What a file states of its rows."""
    return {"schema": SCHEMA_VERSION} | asdict(source)


def source_of(path: Path) -> Source:
    """The source of a file's rows.

    Raises
    ------
    BadArgument
        If the file is none of ours.
    """
    try:
        stated = json.loads((pq.read_schema(path).metadata or {})[METADATA])
        stated.pop("schema")
        return Source(**stated)
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowInvalid) as error:
        raise BadArgument(
            f"{path} is no table of embeddings ({type(error).__name__})",
            value=str(path),
            remedy="give another --out, or remove the file",
        ) from error


class EmbeddingTable:
    """The table at `path`, and the part files beside it.

    Parameters
    ----------
    path : of the Parquet file; the parts are in the folder `<path>.parts`
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = path.with_name(f"{path.name}.parts")

    @property
    def files(self) -> list[Path]:
        """The finished file if there is one, then the parts in their order."""
        finished = [self.path] if self.path.exists() else []
        return finished + sorted(self._parts.glob("*.parquet"))

    def find_source(self) -> Source | None:
        """What made the rows that are there; None if there are none.

        Raises
        ------
        BadArgument
        """
        return source_of(self.files[0]) if self.files else None

    def read_known(self) -> dict[str, tuple[str, int, int, str]]:
        """Track id → path, size, mtime_ns and status of each row; the latest row counts."""
        names = ["track_id", "path", "size", "mtime_ns", "status"]
        known: dict[str, tuple[str, int, int, str]] = {}
        for file in self.files:
            columns = [column.to_pylist() for column in _read(file, columns=names).columns]
            for track_id, *row in zip(*columns, strict=True):
                known[track_id] = tuple(row)
        return known

    def write_part(self, rows: Sequence[Row], source: Source) -> None:
        """Write rows to a part file of their own."""
        self.write_table(table_of(rows, source))

    def write_table(self, table: pa.Table) -> None:
        """Write rows of `schema_of` to a part file of their own."""
        self._parts.mkdir(parents=True, exist_ok=True)
        numbers = [int(part.stem) for part in self._parts.glob("*.parquet")]
        name = f"{max(numbers, default=-1) + 1:06}.parquet"
        _write(table, self._parts / name)

    def merge(self) -> None:
        """Replace file and parts by one file, sorted by track id; the latest row counts."""
        if not self._parts.exists():
            return
        table = pa.concat_tables([_read(file) for file in self.files])
        last = {track_id: row for row, track_id in enumerate(table["track_id"].to_pylist())}
        rows = np.array([last[track_id] for track_id in sorted(last)], np.int64)
        _write(table.take(_numbers(rows)), self.path)
        shutil.rmtree(self._parts)


def table_of(rows: Sequence[Row], source: Source) -> pa.Table:
    """The rows as a table of `schema_of(source)`."""
    songs = [row.song for row in rows]
    durations_s = [row.duration_s for row in rows]
    columns = {
        "track_id": _texts([song.track_id for song in songs]),
        "path": _texts([song.address for song in songs]),
        "sha256": _texts([row.sha256 or None for row in rows]),
        "size": _numbers(np.array([song.size for song in songs], np.int64)),
        "mtime_ns": _numbers(np.array([song.mtime_ns for song in songs], np.int64)),
        "duration_s": _numbers(
            np.array([duration_s or 0.0 for duration_s in durations_s]),
            [duration_s is not None for duration_s in durations_s],
        ),
        "codec": _texts([row.codec for row in rows]),
        "window": _texts([source.window] * len(rows)),
        "embedding": _vectors([row.embedding for row in rows], source.embedding),
        "features": _vectors([row.features for row in rows], source.features),
        "status": _texts([row.status for row in rows]),
        "detail": _texts([row.detail or None for row in rows]),
    }
    schema = schema_of(source)
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _texts(values: Sequence[str | None]) -> pa.Array:
    builder = StringBuilder()
    builder.append_values(values)
    return builder.finish()


def _numbers(values: NDArray[Any], is_known: Sequence[bool] | None = None) -> pa.Array:
    """A column of a NumPy array, (n,); null where a value is not known."""
    buffers = [bitmap(is_known), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def _vectors(vectors: Sequence[Sequence[float] | NDArray[np.float32] | None], dim: int) -> pa.Array:
    """A column of lists of `dim` float32; null where there is no vector."""
    values = np.zeros((len(vectors), dim), np.float32)
    for value, vector in zip(values, vectors, strict=True):
        if vector is not None:
            value[:] = vector
    return pa.Array.from_buffers(
        pa.list_(pa.float32(), dim),
        len(vectors),
        [bitmap([vector is not None for vector in vectors])],
        children=[_numbers(values.reshape(-1))],
    )


def bitmap(is_known: Sequence[bool] | NDArray[np.bool_] | None) -> pa.Buffer | None:
    """Validity bitmap of a column."""
    return None if is_known is None else pa.py_buffer(np.packbits(is_known, bitorder="little"))


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    return pq.ParquetFile(path).read(columns=columns)


def _write(table: pa.Table, path: Path) -> None:
    with write_atomically(path) as part:
        pq.write_table(table, part, compression="zstd")
