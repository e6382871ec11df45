"""Folder of Parquet files that `embed --engine spark` has written, read without Spark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.cli.errors import BadArgument
from service.cli.table import METADATA, OK, Source

# Of the column that states the source, as Spark keeps no metadata of a file.
STATED_IN = "embedding"
# Where Spark states its schema in a file, with the metadata of the columns.
ROW_METADATA = b"org.apache.spark.sql.parquet.row.metadata"
# What tells which of a track's rows counts.
VERSION = ["track_id", "mtime_ns", "status"]


def is_table(path: Path) -> bool:
    """Whether it is a file, or a folder with Parquet files of Spark."""
    return path.is_file() or bool(_files_of(path))


def read_folder(folder: Path, columns: Sequence[str]) -> tuple[Source, pa.Table]:
    """What made the rows of a folder, and some columns of them, by track id.

    A song that changed or was tried again has several rows: the latest version of its file counts,
    and of this version a row with a vector.

    Raises
    ------
    BadArgument
        If a file is none of ours, or two are of different models.
    """
    files = _files_of(folder)
    sources = [_source_of(file) for file in files]
    for file, source in zip(files, sources, strict=True):
        if source != sources[0]:
            raise BadArgument(
                f"{file} has vectors of {source.describe()}, and {files[0]} those of "
                f"{sources[0].describe()}",
                value=str(file),
                remedy="embed into a folder for each model: vectors of two have nothing in common",
            )
    names = list(dict.fromkeys([*VERSION, *columns]))
    table = pa.concat_tables([pq.ParquetFile(file).read(columns=names) for file in files])
    return sources[0], table.take(pa.array(_rows_that_count(table), pa.int64())).select(columns)


def stated_source(stated: Mapping[str, Any]) -> Source:
    """The source that the column's metadata states.

    Raises
    ------
    KeyError, TypeError
    """
    return Source(**{name: stated[name] for name in stated if name != "schema"})


def order_of_row(row: Mapping[str, Any]) -> tuple[int, bool]:
    """Of a track's rows the last one in this order counts."""
    return row["mtime_ns"], row["status"] == OK


def _rows_that_count(table: pa.Table) -> list[int]:
    rows = table.select(VERSION).to_pylist()
    last: dict[str, int] = {}
    for row in sorted(range(len(rows)), key=lambda row: order_of_row(rows[row])):
        last[rows[row]["track_id"]] = row
    return [last[track_id] for track_id in sorted(last)]


def _files_of(folder: Path) -> list[Path]:
    """Without what Hadoop keeps beside them: `_SUCCESS`, `.part-0.crc`."""
    return sorted(file for file in folder.glob("*.parquet") if file.name[0] not in "._")


def _source_of(file: Path) -> Source:
    try:
        described = json.loads((pq.read_schema(file).metadata or {})[ROW_METADATA])
        fields = {field["name"]: field["metadata"] for field in described["fields"]}
        return stated_source(fields[STATED_IN][METADATA.decode()])
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowInvalid) as error:
        raise BadArgument(
            f"{file} is no table of embeddings ({type(error).__name__})",
            value=str(file),
            remedy="give the folder that `tasteprint embed --engine spark` has written, alone",
        ) from error
