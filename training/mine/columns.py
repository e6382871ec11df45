"""Columns guessed by their usual names; where two fit, the user chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from training.errors import BadTable, UnknownColumn
from training.tables.columns import spell

# What a column holds → its usual names, without case, spaces and punctuation.
USUAL = {
    "user": """userid user uid useridentifier username listenerid listener memberid customerid
        accountid subscriberid profileid""",
    "item": """itemid item trackid track songid song recordingid recording mediaid contentid
        musicid artistid""",
    "count": """plays playcount playcounts numplays nplays count counts listens listencount
        ncounts streams scrobbles times frequency""",
    "artist": "artist artistname artistid performer performername band",
    "title": "title tracktitle songtitle trackname songname name",
    "path": "path file filename filepath audio audiofile audiopath",
}
WORDS = {
    "user": "user id",
    "item": "item id",
    "count": "number of plays",
    "artist": "artist",
    "title": "title",
    "path": "path of the file",
    "track": "id that a file is named by",
}
# Asks the user which of several columns holds what the words say.
Choose = Callable[[str, Sequence[str]], str]


def usual_columns(role: str, found: Sequence[str]) -> list[str]:
    """Columns with a usual name for the role; of artist and title, the most usual one alone."""
    names = USUAL[role].split()
    fitting = [name for name in found if spell(name) in names]
    if role == "item" and len(fitting) > 1:  # plays of songs often name the artist too
        fitting = [name for name in fitting if spell(name) != "artistid"]
    if role in ("artist", "title", "path"):
        fitting = sorted(fitting, key=lambda name: names.index(spell(name)))[:1]
    return fitting


def guess(
    path: Path,
    role: str,
    stated: str | None,
    found: Sequence[str],
    choose: Choose | None = None,
    *,
    optional: bool = False,
) -> str | None:
    """The column that holds the role: as stated, else the one with a usual name.

    Parameters
    ----------
    found : columns of the table in `path`
    choose : asked where two columns fit; None refuses
    optional : None where no column fits

    Raises
    ------
    BadTable, UnknownColumn
    """
    if stated is not None:
        if stated not in found:
            named = ", ".join(map(repr, found))
            raise BadTable(path, f"has no column {stated}; the columns are {named}")
        return stated
    fitting = usual_columns(role, found)
    if len(fitting) == 1:
        return fitting[0]
    if len(fitting) > 1 and choose is not None:
        return choose(f"column of the {WORDS[role]} in {path}", fitting)
    if not fitting and optional:
        return None
    raise UnknownColumn(path, WORDS[role], f"--{role}-column", found, fitting)
