"""Columns of a table by their names: one that is not there is refused with those that are."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from training.errors import BadTable

MAX_NAMED = 30


def require_columns(
    path: Path, found: Sequence[str], required: Sequence[str], guess: str = ""
) -> None:
    """Refuse a table that lacks a required column, or has it twice.

    Parameters
    ----------
    guess : what may be wrong with a file that lacks it

    Raises
    ------
    BadTable
    """
    absent = [name for name in required if name not in found]
    if absent:
        raise missing_column(path, absent, found, guess)
    for name in required:
        if found.count(name) > 1:
            raise BadTable(path, f"has {found.count(name)} columns {name}; rename all but one")


def missing_column(
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
    known = {spell(name): name for name in found}
    return {name: known[spell(name)] for name in names if spell(name) in known.keys() - {""}}


def spell(name: str) -> str:
    """A name without case, spaces and punctuation: `User ID` is `user_id`."""
    bare = unicodedata.normalize("NFKC", name).casefold()
    return "".join(char for char in bare if char.isalnum())
