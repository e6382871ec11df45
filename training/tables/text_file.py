"""Reader of CSV files: every column as text, and what is wrong with a file that lacks a column."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from training.tables.sources import separator_of

HEAD_BYTES = 1 << 16
BLOCK_BYTES = 1 << 24  # the longest row
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
OTHER_KINDS = {
    b"PK\x03\x04": "a spreadsheet or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"ARROW1": "an Arrow (Feather) file",
    b"FEA1": "a Feather file",
    b"\xfd7zXZ": "an xz archive",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
}
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
UTF_32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
# The first line of some spreadsheets, which names the separator.
SEPARATOR_LINE = re.compile(rb"(?:\xef\xbb\xbf)?sep=.\s*")
SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'"}


class BadText(Exception):
    """Raised if a file is no CSV file; the message has the reason and the remedy."""


class TextFile:
    """A CSV file in UTF-8, separated by commas or as its name says, with a header.

    It may be compressed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._separator = separator_of(path)
        with path.open("rb") as file:
            start = file.read(16)
        for magic, kind in OTHER_KINDS.items():
            if start.startswith(magic):
                raise BadText(f"is {kind}; save it as CSV (UTF-8, separated by commas) or Parquet")
        found = (name for magic, name in COMPRESSIONS.items() if start.startswith(magic))
        self._compression = next(found, None)
        self.header = self._read_header()

    def _open(self) -> pa.NativeFile:
        return pa.input_stream(str(self.path), compression=self._compression)

    def _read_header(self) -> list[str]:
        try:
            with self._open() as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            raise BadText(f"cannot be unpacked ({error})") from error
        if not head.strip():
            raise BadText("is empty")
        if encoding := _other_encoding(head):
            raise BadText(
                f"is {encoding} text; save it as UTF-8: iconv -f {encoding.lower()} -t utf-8 "
                "INPUT > OUTPUT"
            )
        lines = head.splitlines()
        is_header = [bool(line.strip()) and not SEPARATOR_LINE.fullmatch(line) for line in lines]
        if not any(is_header):
            raise BadText("has no header; name the columns in its first row")
        self._n_before = is_header.index(True)
        text = lines[self._n_before].decode("utf-8-sig", "replace").lstrip("\ufeff")
        # A name in quotes may hold a line break: then the csv module is given all of the head.
        if text.count('"') % 2:
            rest = b"\n".join(lines[self._n_before :])
            text = rest.decode("utf-8-sig", "replace")
        return next(csv.reader(io.StringIO(text), delimiter=self._separator), [])

    def read(self, columns: Sequence[str]) -> pa.Table:
        """The columns as text; an empty cell is empty text.

        Raises
        ------
        BadText
        """
        schema = pa.schema([(name, pa.string()) for name in columns])
        return pa.Table.from_batches(self.batches(columns), schema)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns as text, some `BLOCK_BYTES` of the file at a time.

        Raises
        ------
        BadText
        """
        convert = pa.csv.ConvertOptions(
            include_columns=list(columns), column_types=dict.fromkeys(columns, pa.string())
        )
        parse = pa.csv.ParseOptions(delimiter=self._separator, newlines_in_values=True)
        options = pa.csv.ReadOptions(block_size=BLOCK_BYTES, skip_rows=self._n_before)
        n_rows = 0
        try:
            with self._open() as file, pa.csv.open_csv(file, options, parse, convert) as rows:
                for batch in rows:
                    n_rows += len(batch)
                    yield batch
        except (pa.ArrowException, OSError, EOFError) as error:
            if "UTF8" in str(error):
                raise BadText(
                    "is not UTF-8 text; save it as UTF-8: iconv -f latin1 -t utf-8 INPUT > OUTPUT"
                ) from error
            if "Empty CSV" not in str(error):  # a header alone, without a line break
                raise BadText(f"cannot be read as CSV ({error})") from error
        self._check_quotes(n_rows)

    def _check_quotes(self, n_rows: int) -> None:
        """Refuse a quotation mark that is not closed, and so joins rows to one.

        What follows the mark that closes it then is no separator. Only a file with more lines than
        rows is looked through.
        """
        with self._open() as file:
            blocks = iter(lambda: file.read(BLOCK_BYTES), b"")
            n_breaks = sum(max(block.count(b"\n"), block.count(b"\r")) for block in blocks)
        if n_breaks > self._n_before + 1 + n_rows:
            self.check_quotes()

    def check_quotes(self) -> None:
        """Read all of the file by the rules of quotation marks.

        Raises
        ------
        BadText
        """
        limit = csv.field_size_limit(sys.maxsize)
        try:
            with io.TextIOWrapper(self._open(), "utf-8", "replace", newline="") as text:
                rows = csv.reader(text, delimiter=self._separator, strict=True)
                for _ in rows:
                    pass
        except csv.Error as error:
            raise BadText(
                f"has a quotation mark in or before line {rows.line_num} that is not closed, or "
                f"followed by text ({error}); write a cell with such a mark in quotes, and the "
                'mark twice: "12"" Mix"'
            ) from error
        finally:
            csv.field_size_limit(limit)


def _other_encoding(head: bytes) -> str:
    """The name of an encoding with bytes of zero; empty for UTF-8 and its like."""
    if head.startswith(UTF_32) or b"\0\0\0" in head[:64]:
        return "UTF-32"
    return "UTF-16" if head.startswith(UTF_16) or b"\0" in head[:64] else ""


def guess_mistake(header: Sequence[str]) -> str:
    """What may be wrong with a file whose header lacks a column; empty if nothing is noticed."""
    first = ",".join(header)
    for separator, name in SEPARATORS.items():
        if separator in first:
            remedy = ", or name the file .tsv" if separator == "\t" else ""
            return f"is it separated by {name}? Separate the columns by commas{remedy}"
    if first.lstrip().startswith(("{", "[")):
        return "is it JSON? Save it as CSV or Parquet"
    if any(_is_number(cell) for cell in header):
        return "has it no header? Name the columns in its first row"
    return ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
