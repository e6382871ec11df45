"""Accounts of a join: how many tracks, items and artists were on each side, and how many met.

Ids that are spelled otherwise on the other side (`12` and `12.0`) make no error by themselves: a
training run just learns from fewer tracks, and held-out items stay in the logs, so that an
evaluation looks better than the encoder is. So every stage that joins counts, prints and stores.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from training.cf.logs import Logs
from training.errors import Unmatched
from training.tables.ids import bare_id

ACCOUNTS = "accounts.json"
N_EXAMPLES = 5
# Of the ids, below which a join is refused unless it is told otherwise.
MIN_SHARE = 0.5
ALL = 1.0


@dataclass(frozen=True)
class Account:
    """Accounts of one join.

    Attributes
    ----------
    left, right : what the two sides are, in words
    left_counts, right_counts : name of what is counted → its number
    met : as `left_counts`, of the rows whose id is on the right
    missing : number of ids of the left that the right lacks, and examples of them
    without_id : rows of the left that name no id
    other_spelling : an example that the right has in another spelling, and that spelling
    is_same_id : whether the spellings differ in what programs add to ids, such as `.0`
    spelled_twice : number of ids of the left that one of the sides has in two spellings of itself
    two_spellings : an example of them
    """

    left: str
    right: str
    left_counts: dict[str, int]
    right_counts: dict[str, int]
    met: dict[str, int]
    missing: int
    examples: tuple[str, ...] = ()
    without_id: int = 0
    other_spelling: tuple[str, str] | None = None
    spelled_twice: int = 0
    two_spellings: tuple[str, str] | None = None
    is_same_id: bool = field(default=False, repr=False)

    @property
    def share(self) -> float:
        """Share of the ids of the left that the right has; 1 where there are none."""
        known = self.left_counts["ids"] - self.missing
        return known / self.left_counts["ids"] if self.left_counts["ids"] else 1.0

    def describe_met(self) -> str:
        return ", ".join(
            f"{self.met[name]} of {count} {name}"
            for name, count in self.left_counts.items()
            if name != "ids"
        )

    def __str__(self) -> str:
        there = f"{self.right} ({_describe(self.right_counts)})"
        text = f"{self.left}: {self.describe_met()} are in {there}"
        if self.without_id:
            text += f"; {self.without_id} have no id"
        if self.two_spellings:
            pair = "{!r} and {!r}".format(*self.two_spellings)
            text += f"; {self.spelled_twice} ids are spelled in two ways on one side, as {pair}"
        return text + self.describe_missing()

    def describe_missing(self) -> str:
        if not self.missing:
            return ""
        text = f"; not there: {', '.join(map(repr, self.examples))}"
        if self.missing > len(self.examples):
            text += f" and {self.missing - len(self.examples)} more"
        if self.other_spelling:
            text += "; {!r} is spelled {!r} there".format(*self.other_spelling)
        return text

    def to_json(self) -> dict[str, Any]:
        stated = asdict(self)
        del stated["is_same_id"]
        return stated


def count_join(
    tracks: pd.DataFrame,
    left: str,
    known: Iterable[str],
    right: str,
    *,
    key: str = "item_id",
    right_counts: Mapping[str, int] | None = None,
) -> Account:
    """Accounts of rows that are joined to another side by an id.

    Parameters
    ----------
    tracks : the left side: one row per track, with the column `key`, and `item_id` and `artist`
        where they are known; an empty id is none
    known : ids of the right side
    right_counts : of the right side; default: the number of its ids
    """
    there = pd.Index(known).unique()
    ids = tracks[key]
    has_id = ids != ""
    found = tracks[has_id & ids.isin(there)]
    absent = list(dict.fromkeys(ids[has_id & ~ids.isin(there)]))
    spelling, is_same_id = _find_spelling(absent, there)
    twice = _find_twice(ids[has_id].unique(), there)
    # An example that shows the reason stands first.
    examples = ([spelling[0]] if spelling else []) + absent
    return Account(
        left=left,
        right=right,
        left_counts=_count(tracks) | {"ids": int(ids[has_id].nunique())},
        right_counts=dict(right_counts or {"ids": len(there)}),
        met=_count(found) | {"ids": int(found[key].nunique())},
        missing=len(absent),
        examples=tuple(dict.fromkeys(examples))[:N_EXAMPLES],
        without_id=int((~has_id).sum()),
        other_spelling=spelling,
        spelled_twice=len(twice),
        two_spellings=twice[0] if twice else None,
        is_same_id=is_same_id,
    )


def check_account(account: Account, min_share: float, *, allow_missing: bool, what: str) -> Account:
    """Refuse a join in which too few ids met, or some are spelled otherwise on the other side.

    Parameters
    ----------
    min_share : of the ids; `ALL` for held-out items, which would stay in the logs
    allow_missing : accept any share
    what : the consequence, for the message

    Raises
    ------
    Unmatched
    """
    is_short = account.share < min_share or (account.missing and account.is_same_id)
    if is_short and not allow_missing:
        raise Unmatched(str(account), what)
    return account


def account_held_out(split: pd.DataFrame, logs: Logs, *, allow_missing: bool) -> Account:
    """Accounts of the held-out items in the logs; all must be there, to be left out of them.

    Raises
    ------
    Unmatched
    """
    rows = logs.report.get("rows_read", logs.user_items.nnz)
    account = count_join(
        split[split["part"] == "test"],
        "held out",
        logs.known_items,
        "the logs",
        right_counts={"rows": int(rows), "users": len(logs.users), "items": len(logs.known_items)},
    )
    what = "held-out items that the logs do not know are not held out of them"
    return check_account(account, ALL, allow_missing=allow_missing, what=what)


def account_targets(
    tracks: pd.DataFrame, left: str, factors: pd.Index, *, allow_missing: bool
) -> Account:
    """Accounts of tracks whose item has a factor; half of the items must have one.

    Raises
    ------
    Unmatched
    """
    account = count_join(tracks, left, factors, "the factors", right_counts={"items": len(factors)})
    what = "tracks whose item has no factor are not learnt from"
    return check_account(account, MIN_SHARE, allow_missing=allow_missing, what=what)


def write_accounts(folder: Path, accounts: Sequence[Account]) -> None:
    """Write `accounts.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ACCOUNTS).write_text(accounts_text(accounts))


def accounts_text(accounts: Sequence[Account]) -> str:
    return json.dumps([account.to_json() for account in accounts], indent=2) + "\n"


def _describe(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _count(tracks: pd.DataFrame) -> dict[str, int]:
    counts = {"tracks": len(tracks)}
    for column, name in (("item_id", "items"), ("artist", "artists")):
        if column in tracks:
            counts[name] = int(tracks.loc[tracks[column] != "", column].nunique())
    return counts


def _find_spelling(
    absent: Sequence[str], known: Collection[str]
) -> tuple[tuple[str, str] | None, bool]:
    """An id that the other side has in another spelling, and whether it is the same id for sure."""
    if not absent:
        return None, False
    for spell, is_same_id in ((bare_id, True), (_loose, False)):
        spelled = {spell(other): other for other in known}
        for one in absent:
            if spell(one) in spelled:
                return (one, spelled[spell(one)]), is_same_id
    return None, False


def _find_twice(ids: Iterable[str], known: Iterable[str]) -> list[tuple[str, str]]:
    """Two spellings of each id of the left that one of the sides has in more than one."""
    of_left = {bare_id(one) for one in ids}
    found: dict[str, tuple[str, str]] = {}
    for side in (ids, known):
        first: dict[str, str] = {}
        for one in side:
            bare = bare_id(one)
            if bare in of_left and first.setdefault(bare, one) != one:
                found.setdefault(bare, (first[bare], one))
    return list(found.values())


def _loose(name: str) -> str:
    """An id without case and leading zeros, which may tell ids apart."""
    return bare_id(name).casefold().lstrip("0")
