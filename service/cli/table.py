"""Parquet file of embeddings: part files while a run goes on, one sorted file at its end.

A run that is killed goes on from its parts. The same songs and model give the same file to the last
byte, whenever the run was stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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
    embedding: Sequence[float] | None = None
    features: Sequence[float] | None = None


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
    stated = {"schema": SCHEMA_VERSION} | asdict(source)
    return pa.schema(columns, metadata={METADATA: json.dumps(stated, sort_keys=True).encode()})


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
            columns = [column.to_pylist() for column in pq.read_table(file, columns=names).columns]
            for track_id, *row in zip(*columns, strict=True):
                known[track_id] = tuple(row)
        return known

    def write_part(self, rows: Iterable[Row], source: Source) -> None:
        """Write rows to a part file of their own."""
        self._parts.mkdir(parents=True, exist_ok=True)
        numbers = [int(part.stem) for part in self._parts.glob("*.parquet")]
        name = f"{max(numbers, default=-1) + 1:06}.parquet"
        table = pa.Table.from_pylist([_as_dict(row, source) for row in rows], schema_of(source))
        _write(table, self._parts / name)

    def merge(self) -> None:
        """Replace file and parts by one file, sorted by track id; the latest row counts."""
        if not self._parts.exists():
            return
        table = pa.concat_tables([pq.read_table(file) for file in self.files])
        last = {track_id: row for row, track_id in enumerate(table["track_id"].to_pylist())}
        _write(table.take([last[track_id] for track_id in sorted(last)]), self.path)
        shutil.rmtree(self._parts)


def _as_dict(row: Row, source: Source) -> dict[str, Any]:
    song = row.song
    return {
        "track_id": song.track_id,
        "path": str(song.path),
        "sha256": row.sha256 or None,
        "size": song.size,
        "mtime_ns": song.mtime_ns,
        "duration_s": row.duration_s,
        "codec": row.codec,
        "window": source.window,
        "embedding": row.embedding,
        "features": row.features,
        "status": row.status,
        "detail": row.detail or None,
    }


def _write(table: pa.Table, path: Path) -> None:
    with write_atomically(path) as part:
        pq.write_table(table, part, compression="zstd")
