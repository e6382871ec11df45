"""Ids of a column as text, exactly: no id passes through a floating-point number.

A float64 tells whole numbers apart below 2^53 alone, and pandas makes one of a column of integers
with a gap.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# From here on, neighbouring whole numbers are one float64.
MAX_EXACT = 2**53


class BadIds(Exception):
    """Raised if a column does not hold ids; the message has the reason and the remedy."""


def ids_as_text(column: pa.ChunkedArray) -> pd.Series:
    """The ids as text, missing where the file has none.

    Raises
    ------
    BadIds
        If the column holds neither text nor whole numbers.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return ids_as_text(column.cast(kind.value_type))
    if isinstance(kind, pa.BaseExtensionType):
        raise BadIds(_refusal(kind))
    if pa.types.is_floating(kind):
        column = _whole_numbers(column)
    elif pa.types.is_decimal(kind):
        column = _whole_decimals(column)
    elif not _is_id(kind):
        raise BadIds(_refusal(kind))
    try:
        text = column.cast(pa.string())
    except pa.ArrowInvalid as error:  # bytes that are no UTF-8
        raise BadIds(f"holds bytes that are no text ({error}); write the ids as text") from error
    known = pc.if_else(pc.equal(text, ""), None, text)  # an empty cell of CSV is no id
    return pd.Series(known.to_pandas(), dtype="str")


def _is_id(kind: pa.DataType) -> bool:
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return bool(is_text or is_bytes or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _refusal(kind: pa.DataType) -> str:
    return f"holds values of the type {kind}; ids are text or whole numbers: write one id a row"


def _whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats that are whole numbers as int64; NaN is no id."""
    numbers = column.cast(pa.float64()).to_numpy()
    known = numbers[~np.isnan(numbers)]
    odd = known[~np.isfinite(known) | (known != np.trunc(known))]
    if odd.size:
        raise BadIds(f"holds {odd[0]!r}, which is no id; write the ids as whole numbers or text")
    if known.size and np.abs(known).max() >= MAX_EXACT:
        raise BadIds(
            "holds ids of 2^53 and above as floating-point numbers, which cannot tell them apart; "
            "write the column as int64 or text"
        )
    whole = np.where(np.isnan(numbers), 0, numbers).astype(np.int64)
    return pa.chunked_array([pa.array(whole, mask=np.isnan(numbers))])


def _whole_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    values = column.to_pylist()
    odd = [value for value in values if value is not None and value % 1]
    if odd:
        raise BadIds(f"holds {odd[0]}, which is no id; write the ids as whole numbers or text")
    whole = [None if value is None else str(int(value)) for value in values]
    return pa.chunked_array([pa.array(whole, pa.string())])
