"""Reader of a user's table, CSV or Parquet: columns by name, ids as text, numbers as floats.

Which kind of file it is, its first bytes say and not its name. A column that is not there is
refused with those that are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.errors import BadTable
from training.tables.folders import list_files
from training.tables.ids import BadIds, exact_text, ids_as_text
from training.tables.text_file import BadText, TextFile, guess_mistake

PARQUET_MAGIC = b"PAR1"
PARQUET = {".parquet", ".pq"}
MAX_NAMED = 30


def read_ids(
    path: Path, ids: Sequence[str], numbers: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Columns of ids as text, None where a row has none, and columns of numbers, NaN there.

    Raises
    ------
    BadTable
        If the file cannot be read, lacks a column, has one that is asked for twice, or holds
        something else in it.
    """
    repeated = [name for name in (*ids, *numbers) if [*ids, *numbers].count(name) > 1]
    if repeated:
        reason = f"the column {repeated[0]} is named for two of users, items and counts"
        raise BadTable(path, f"{reason}; name one column for each")
    table = _read(path, [*ids, *numbers])
    texts = {name: _id_column(path, table, name) for name in ids}
    values = {name: _number_column(path, table, name) for name in numbers}
    return pd.DataFrame(texts), pd.DataFrame(values)


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
    table = _read(path, required, others=True)
    if any_of and not set(any_of) & set(table.column_names):
        guess = guess_mistake(table.column_names)
        raise _missing(path, any_of, table.column_names, guess, joined_by=" or ")
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


def _number_column(path: Path, table: pa.Table, name: str) -> pd.Series:
    column = table.column(name)
    if pa.types.is_nested(column.type):
        raise BadTable(path, f"the column {name} holds values of the type {column.type}")
    return pd.to_numeric(column.to_pandas(), errors="coerce").astype(np.float64)


def _read(path: Path, required: Sequence[str], *, others: bool = False) -> pa.Table:
    """The required columns, or with `others` every column."""
    try:
        if path.is_dir():
            return _read_folder(path, required, others)
        return (_read_parquet if _is_parquet(path) else _read_csv)(path, required, others)
    except FileNotFoundError as error:
        raise BadTable(path, "no such file") from error
    except OSError as error:
        raise BadTable(path, f"cannot be read ({error.strerror or error})") from error


def _read_csv(path: Path, required: Sequence[str], others: bool) -> pa.Table:
    if path.suffix.lower() in PARQUET:
        raise BadTable(path, "is no Parquet file, or is damaged; write it again")
    try:
        file = TextFile(path)
        _require(path, file.header, required, guess_mistake(file.header))
        if not others:
            return file.read(required)
        named = [name for name in file.header if name.strip() or file.header.count(name) == 1]
        _require(path, file.header, named)
        return file.read(named)
    except BadText as error:
        raise BadTable(path, str(error)) from error


def _read_parquet(path: Path, required: Sequence[str], others: bool) -> pa.Table:
    try:
        names = pq.read_schema(path).names
        _require(path, names, [*required, *(names if others else ())])
        # Not by pandas, which takes an index that it wrote out of the columns again.
        with pq.ParquetFile(path) as file:
            return file.read() if others else file.read(list(required)).select(list(required))
    except pa.ArrowException as error:
        raise BadTable(path, f"cannot be read as Parquet ({error})") from error


def _read_folder(path: Path, required: Sequence[str], others: bool) -> pa.Table:
    """The Parquet files of a folder, as Spark and Dask write them, one below the other."""
    files = list_files(path, _is_internal)
    odd = [file for file in files if not _is_parquet(file)]
    if len(odd) == len(files):
        raise BadTable(path, "is a folder without Parquet files; give a CSV or Parquet file")
    if odd:
        reason = f"holds {odd[0].relative_to(path)}, which is no Parquet file, beside those that"
        raise BadTable(path, f"{reason} are ({len(odd)} of {len(files)} files); remove it")
    parts = [_read_parquet(file, required, others) for file in files]
    try:
        return pa.concat_tables(parts)
    except pa.ArrowException as error:
        reason = f"holds Parquet files of different columns ({error}); write them alike"
        raise BadTable(path, reason) from error


def _is_internal(name: str) -> bool:
    """Whether Spark or Dask keep it for themselves: `_SUCCESS`, `.part-0.crc`, `_temporary`."""
    return name.startswith((".", "_")) and "=" not in name  # `_date=1` is a part of the table


def _is_parquet(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC


def _require(path: Path, found: Sequence[str], required: Sequence[str], guess: str = "") -> None:
    absent = [name for name in required if name not in found]
    if absent:
        raise _missing(path, absent, found, guess)
    for name in required:
        if found.count(name) > 1:
            raise BadTable(path, f"has {found.count(name)} columns {name}; rename all but one")


def _missing(
    path: Path, absent: Sequence[str], found: Sequence[str], guess: str, joined_by: str = ", "
) -> BadTable:
    named = ", ".join(repr(name) for name in found[:MAX_NAMED])
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    reason = f"has no column {joined_by.join(absent)}; the columns are {named}{more}"
    hint = _describe_spelling(absent, found) or guess
    return BadTable(path, f"{reason}; {hint}" if hint else reason)


def _describe_spelling(absent: Sequence[str], found: Sequence[str]) -> str:
    names = list(spelled_otherwise(absent, found).values())
    if not names:
        return ""
    return f"did you mean {' and '.join(map(repr, names))}? Name the column as it is spelled"


def spelled_otherwise(names: Sequence[str], found: Sequence[str]) -> dict[str, str]:
    """The names that are not found → the one that differs in case, spaces or punctuation alone."""
    known = {_spell(name): name for name in found}
    return {name: known[_spell(name)] for name in names if _spell(name) in known.keys() - {""}}


def _spell(name: str) -> str:
    """A name without case, spaces and punctuation: `User ID` is `user_id`."""
    bare = unicodedata.normalize("NFKC", name).casefold()
    return "".join(char for char in bare if char.isalnum())
