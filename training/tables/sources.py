"""Files of a table that is spread over many: one file, a folder, or a pattern (glob)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.errors import BadTable
from training.tables.folders import list_files

PARQUET_MAGIC = b"PAR1"
TEXT = (".csv", ".tsv", ".tab")
COMPRESSED = {".gz", ".bz2", ".zst", ".zstd"}
PATTERN = "*?["


def list_tables(paths: Path | Sequence[Path]) -> list[Path]:
    """The files of tables, in the order of the paths, and within a folder or pattern by name.

    Parameters
    ----------
    paths : files, folders (Parquet as Spark and Dask write them, or CSV and TSV), or patterns such
        as `plays/2026-*.csv.gz`, in which `**` is any depth

    Raises
    ------
    BadTable
        If there is no such file, or a folder holds other files too.
    """
    named = [paths] if isinstance(paths, Path) else paths
    return [file for path in named for file in _list_one(path)]


def is_pattern(path: Path) -> bool:
    """Whether a path is a pattern, and not the name of a file."""
    return any(char in str(path) for char in PATTERN) and not path.exists()


def is_parquet(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC


def separator_of(file: Path) -> str:
    """The separator of the columns, by the name: a tab in `.tsv` and `.tab`, else a comma."""
    return "\t" if _text_suffix(file) in (".tsv", ".tab") else ","


def is_internal(name: str) -> bool:
    """Whether Spark or Dask keep it for themselves: `_SUCCESS`, `.part-0.crc`, `_temporary`."""
    return name.startswith((".", "_")) and "=" not in name  # `_date=1` is a part of the table


def _list_one(path: Path) -> list[Path]:
    if is_pattern(path):
        found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not found:
            raise BadTable(path, "no file has a name of this pattern")
        return [file for place in found for file in _list_one(place)]
    if not path.exists():
        raise BadTable(path, "no such file")
    return _list_folder(path) if path.is_dir() else [path]


def _list_folder(folder: Path) -> list[Path]:
    """Files of a folder: all of them Parquet, or all CSV and TSV by their names."""
    files = list_files(folder, is_internal)
    if files and all(_text_suffix(file) in TEXT for file in files):
        return files
    odd = [file for file in files if not is_parquet(file)]
    if len(odd) == len(files):
        raise BadTable(
            folder,
            "is a folder without Parquet files, and not of CSV and TSV files alone; give a file, "
            "or a folder of one kind",
        )
    if odd:
        reason = f"holds {odd[0].relative_to(folder)}, which is no Parquet file, beside those that"
        raise BadTable(folder, f"{reason} are ({len(odd)} of {len(files)} files); remove it")
    return files


def _text_suffix(file: Path) -> str:
    """The extension in small letters, without that of a compression."""
    bare = Path(file.stem) if file.suffix.lower() in COMPRESSED else file
    return bare.suffix.lower()
