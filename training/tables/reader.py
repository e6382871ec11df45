"""Reader of a user's table, CSV or Parquet: columns by name, ids as text.

Which kind of file it is, its first bytes say and not its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.errors import BadTable
from training.tables.batches import naming, open_text
from training.tables.columns import missing_column, require_columns
from training.tables.ids import BadIds, exact_text, ids_as_text
from training.tables.sources import is_parquet, list_tables
from training.tables.text_file import guess_mistake


def read_names(paths: Path | Sequence[Path]) -> list[str]:
    """Names of the columns of a table; of one over several files, those of the first.

    Raises
    ------
    BadTable
    """
    path = list_tables(paths)[0]
    with naming(path):
        return list(pq.read_schema(path).names) if is_parquet(path) else open_text(path).header


def read_text(
    path: Path,
    required: Sequence[str] = (),
    any_of: Sequence[str] = (),
    names: Sequence[str] = ("artist", "album"),
) -> pd.DataFrame:
    """Every column as text, empty where a cell is; of Parquet, without columns of lists.

    Parameters
    ----------
    required : columns of ids
    any_of : columns of which one is enough
    names : columns whose numbers are names, so that no two may become one

    Raises
    ------
    BadTable
        If the file cannot be read, lacks one of the columns, or has two of one name.
    """
    table = _read(path, required)
    if any_of and not set(any_of) & set(table.column_names):
        guess = guess_mistake(table.column_names)
        raise missing_column(path, any_of, table.column_names, guess, joined_by=" or ")
    columns = {
        name: _id_column(path, table, name)
        if name in required
        else _text_column(path, table, name, is_name=name in names)
        for name in table.column_names
        if name in required or not pa.types.is_nested(table.column(name).type)
    }
    return pd.DataFrame(columns).fillna("").astype(str)


def _id_column(path: Path, table: pa.Table, name: str) -> pd.Series:
    try:
        return ids_as_text(table.column(name))
    except BadIds as error:
        raise BadTable(path, f"the column {name} {error}") from error


def _text_column(path: Path, table: pa.Table, name: str, *, is_name: bool) -> pd.Series:
    """A column that no id is made of: numbers in their shortest form, dates as they are shown."""
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_float = pa.types.is_floating(column.type)
    try:
        if is_name and (is_float or pa.types.is_decimal(column.type)):
            text = exact_text(column)
        elif is_float:
            text = pc.if_else(pc.is_nan(column), None, column).cast(pa.string())
        else:
            text = column.cast(pa.string())
    except BadIds as error:
        raise BadTable(path, f"the column {name} {error}") from error
    except pa.ArrowException:
        return column.to_pandas().astype(str)
    # A carriage return alone does not read back from the tables that are written of this one.
    lines = pc.replace_substring_regex(text, r"\r\n?", "\n")
    return pd.Series(lines.to_pandas(), dtype=object)


def _read(path: Path, required: Sequence[str]) -> pa.Table:
    """Every column; those that are required are there."""
    if not path.is_dir():
        return _read_file(path, required)
    parts = [_read_file(file, required) for file in list_tables(path)]
    try:
        return pa.concat_tables(parts)
    except pa.ArrowException as error:
        reason = f"holds Parquet files of different columns ({error}); write them alike"
        raise BadTable(path, reason) from error


def _read_file(path: Path, required: Sequence[str]) -> pa.Table:
    with naming(path):
        if is_parquet(path):
            names = pq.read_schema(path).names
            require_columns(path, names, [*required, *names])
            # Not by pandas, which takes an index that it wrote out of the columns again.
            with pq.ParquetFile(path) as table:
                return table.read()
        file = open_text(path)
        require_columns(path, file.header, required, guess_mistake(file.header))
        named = [name for name in file.header if name.strip() or file.header.count(name) == 1]
        require_columns(path, file.header, named)
        return file.read(named)
