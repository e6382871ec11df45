"""Ids of a column as text, exactly: no id passes through a floating-point number.

A float64 tells whole numbers apart below 2^53 alone, a float32 below 2^24, and pandas makes floats
of a column of integers with a gap. An id is also one line of text: what has a line break or another
control character is a row that a quotation mark has swallowed, and does not read back as written.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# Bits of the mantissa, by the bits of a float: 2 to their power and the number after it are one.
MANTISSA_BITS = {16: 11, 32: 24, 64: 53}
# All but the tab, which programs join names with.
CONTROL = r"[\x00-\x08\x0a-\x1f\x7f]"


class BadIds(Exception):
    """Raised if a column does not hold ids; the message has the reason and the remedy."""


def ids_as_text(column: pa.ChunkedArray) -> pd.Series:
    """The ids as text, missing where the file has none: empty, of blanks alone, or NaN.

    Raises
    ------
    BadIds
        If the column holds neither text nor whole numbers, or text of several lines.
    """
    text = exact_text(column)
    return pd.Series(known_ids(text, text).to_pandas(), dtype="str")


def known_ids(text: pa.Array, rows: pa.ChunkedArray) -> pa.Array:
    """Ids, null where they are empty or of blanks alone.

    Parameters
    ----------
    text : ids of rows, or the distinct ones
    rows : the column that they are of

    Raises
    ------
    BadIds
        If one has several lines; the message counts the rows.
    """
    known = pc.if_else(pc.equal(pc.utf8_trim_whitespace(text), ""), None, text)
    odd = known.filter(pc.match_substring_regex(known, CONTROL))
    if len(odd):
        n_odd = pc.sum(pc.match_substring_regex(exact_text(rows), CONTROL)).as_py()
        raise BadIds(
            f"holds {_shorten(odd[0].as_py())}, which has a line break or control character "
            f"({n_odd} of {len(rows)} rows); ids are one line: is a quotation mark not closed?"
        )
    return known


def exact_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as it is, and whole numbers digit by digit, whatever type they are stored as.

    Raises
    ------
    BadIds
        If the column holds neither text nor whole numbers.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return exact_text(column.cast(kind.value_type))
    if isinstance(kind, pa.BaseExtensionType):
        raise BadIds(_refusal(kind))
    if pa.types.is_floating(kind):
        column = _whole_numbers(column)
    elif pa.types.is_decimal(kind):
        column = _whole_decimals(column)
    elif not _is_id(kind):
        raise BadIds(_refusal(kind))
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid as error:  # bytes that are no UTF-8
        raise BadIds(f"holds bytes that are no text ({error}); write the ids as text") from error


def bare_id(name: str) -> str:
    """An id without what programs add: blanks, the `.0` of a float, another Unicode form."""
    if name.isascii() and name.isalnum():  # most are
        return name
    text = unicodedata.normalize("NFC", name).strip()
    whole, point, rest = text.partition(".")
    return whole if point and whole.isdigit() and not rest.strip("0") else text


def bare_ids(ids: pa.Array) -> pa.Array:
    """`bare_id` of each."""
    text = pc.utf8_trim_whitespace(pc.utf8_normalize(ids, "NFC"))
    return pc.replace_substring_regex(text, r"^(\p{Nd}+)\.0*$", r"\1")


def _is_id(kind: pa.DataType) -> bool:
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    is_view = pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_null(kind)
    return bool(is_text or is_bytes or is_view or is_number)


def _shorten(text: str, max_chars: int = 40) -> str:
    return repr(text if len(text) <= max_chars else text[:max_chars] + "…")


def _refusal(kind: pa.DataType) -> str:
    return f"holds values of the type {kind}; ids are text or whole numbers: write one id a row"


def _whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats that are whole numbers as int64; NaN is no id."""
    n_bits = MANTISSA_BITS[column.type.bit_width]
    numbers = column.cast(pa.float64()).to_numpy()
    known = numbers[~np.isnan(numbers)]
    odd = known[~np.isfinite(known) | (known != np.trunc(known))]
    if odd.size:
        raise BadIds(f"holds {odd[0]!r}, which is no id; write the ids as whole numbers or text")
    if known.size and np.abs(known).max() >= 2**n_bits:
        raise BadIds(
            f"holds ids of 2^{n_bits} and above as floating-point numbers of "
            f"{column.type.bit_width} bits, which cannot tell them apart; write the column as "
            "int64 or text"
        )
    whole = np.where(np.isnan(numbers), 0, numbers).astype(np.int64)
    return pa.chunked_array([pa.array(whole, mask=np.isnan(numbers))])


def _whole_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    values = column.to_pylist()
    # Not by %, which fails where the quotient has more than 28 digits.
    odd = [v for v in values if v is not None and v != v.to_integral_value()]
    if odd:
        raise BadIds(f"holds {odd[0]}, which is no id; write the ids as whole numbers or text")
    whole = [None if value is None else str(int(value)) for value in values]
    return pa.chunked_array([pa.array(whole, pa.string())])
