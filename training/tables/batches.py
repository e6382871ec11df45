"""Reader of large tables in batches, CSV or Parquet, of one file or many: out of core.

A table's columns are read some rows at a time, and the ids of a batch as numbers of its distinct
ids, see `training.tables.encoding`. While a batch is encoded, the next one is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.errors import BadTable
from training.tables.columns import require_columns
from training.tables.encoding import EncodedIds, encode_ids
from training.tables.ids import BadIds
from training.tables.sources import is_parquet, list_tables
from training.tables.text_file import BadText, TextFile, guess_mistake

BATCH_ROWS = 1 << 20
PARQUET = {".parquet", ".pq"}
Values = NDArray[np.float64]
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Batch:
    """Some rows of a table.

    Attributes
    ----------
    file : that the rows are of
    first_row : number of the first of them in that file, from 1
    ids : by column
    numbers : by column, NaN where a row has none
    times : by column, numbers as they are and dates in seconds since 1970, NaN where a row has none
    """

    file: Path
    first_row: int
    ids: dict[str, EncodedIds]
    numbers: dict[str, Values]
    times: dict[str, Values]


def read_batches(
    paths: Path | Sequence[Path],
    ids: Sequence[str],
    numbers: Sequence[str] = (),
    times: Sequence[str] = (),
) -> Iterator[Batch]:
    """Columns of ids, numbers and times of all rows of all files.

    Parameters
    ----------
    paths : see `training.tables.sources.list_tables`

    Raises
    ------
    BadTable
        If a file cannot be read, lacks a column, has one that is asked for twice, or holds
        something else in it.
    """
    columns = [*ids, *numbers, *times]
    files = list_tables(paths)
    if repeated := [name for name in columns if columns.count(name) > 1]:
        reason = f"the column {repeated[0]} is named for two of users, items and counts"
        raise BadTable(files[0], f"{reason}; name one column for each")
    _check_types(files, columns)
    with ThreadPoolExecutor(len(columns) + 1) as pool:
        for file in files:
            yield from _read_file(file, ids, numbers, times, pool)


@contextmanager
def naming(path: Path, column: str = "") -> Iterator[None]:
    """Errors of reading a file as `BadTable`, which names the file."""
    try:
        yield
    except BadText as error:
        raise BadTable(path, str(error)) from error
    except BadIds as error:
        raise BadTable(path, f"the column {column} {error}") from error
    except FileNotFoundError as error:
        raise BadTable(path, "no such file") from error
    except pa.ArrowException as error:
        raise BadTable(path, f"cannot be read as Parquet ({error})") from error
    except OSError as error:
        raise BadTable(path, f"cannot be read ({error.strerror or error})") from error


def open_text(path: Path) -> TextFile:
    """A CSV file; what is named like Parquet is a damaged one.

    Raises
    ------
    BadText
    """
    if path.suffix.lower() in PARQUET:
        raise BadText("is no Parquet file, or is damaged; write it again")
    return TextFile(path)


def _check_types(files: Sequence[Path], columns: Sequence[str]) -> None:
    """Refuse Parquet files of one table whose columns are of several types."""
    first: tuple[Path, list[pa.DataType]] | None = None
    for file in files:
        with naming(file):
            if not is_parquet(file):
                continue
            schema = pq.read_schema(file)
        require_columns(file, schema.names, columns)
        types = [schema.field(name).type for name in columns]
        first = first or (file, types)
        for name, kind, kind_before in zip(columns, types, first[1], strict=True):
            if kind != kind_before:
                reason = f"{name} is {kind}, and {kind_before} in {first[0].name}"
                raise BadTable(
                    file,
                    f"is one of Parquet files of different columns ({reason}); write them alike",
                )


def _read_file(
    path: Path, ids: Sequence[str], numbers: Sequence[str], times: Sequence[str], pool: Executor
) -> Iterator[Batch]:
    tables = _tables(path, [*ids, *numbers, *times])
    first_row, table = 1, next(tables, None)
    while table is not None:
        following = pool.submit(next, tables, None)
        try:
            yield Batch(
                path,
                first_row,
                _convert(encode_ids, path, table, ids, pool),
                _convert(_to_numbers, path, table, numbers, pool),
                _convert(_to_times, path, table, times, pool),
            )
        except BadTable:
            following.exception()  # the reader is at rest
            _check_quotes(path)
            raise
        first_row += len(table)
        table = following.result()


def _convert(
    convert: Callable[[pa.ChunkedArray], Kind],
    path: Path,
    table: pa.Table,
    names: Sequence[str],
    pool: Executor,
) -> dict[str, Kind]:
    def convert_column(name: str) -> Kind:
        with naming(path, name):
            return convert(table.column(name))

    return dict(zip(names, pool.map(convert_column, names), strict=True))


def _check_quotes(path: Path) -> None:
    """A quotation mark that is not closed is a better reason than the text that it has joined."""
    with naming(path):
        if not is_parquet(path):
            open_text(path).check_quotes()


def _tables(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    with naming(path):
        if is_parquet(path):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                    yield pa.Table.from_batches([batch])
            return
        text = open_text(path)
        require_columns(path, text.header, columns, guess_mistake(text.header))
        for batch in text.batches(columns):
            yield pa.Table.from_batches([batch])


def _to_numbers(column: pa.ChunkedArray) -> Values:
    if pa.types.is_nested(column.type):
        raise BadIds(f"holds values of the type {column.type}")
    return np.asarray(pd.to_numeric(column.to_pandas(), errors="coerce").astype(np.float64))


def _to_times(column: pa.ChunkedArray) -> Values:
    """Numbers as they are, dates and times in seconds since 1970; text is either.

    Raises
    ------
    BadIds
        If the column has values, and no row is a number or a date (ISO 8601).
    """
    kind = column.type
    if not (pa.types.is_temporal(kind) or pa.types.is_string(kind)):
        return _to_numbers(column)
    if pa.types.is_string(kind):
        numbers = _to_numbers(column)
        if not np.isnan(numbers).all():
            return numbers
    shown = column.to_pandas()
    dates = pd.to_datetime(shown, errors="coerce", utc=True, format="ISO8601")
    seconds = dates.to_numpy("datetime64[us]").astype(np.int64) / 1e6
    if len(dates) and dates.isna().all() and (shown.astype(str).str.strip() != "").any():
        raise BadIds(
            f"holds {shown.iloc[0]!r}, which is no time; write seconds since 1970, or dates as "
            "2026-01-31T12:00:00"
        )
    return np.where(dates.isna(), np.nan, seconds)
