"""Reader of listening logs: CSV or Parquet -> a sparse user-item matrix, vectorised."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from training.errors import BadLogs, BadTable
from training.tables.ids import bare_id
from training.tables.reader import read_ids

# Counts are float32 in the matrix. Far below its largest number the sums of ALS overflow; a user
# who plays a song once a minute for a century has 5e7.
MAX_COUNT = 1e9
# Ids that stay, as they may be names, and that programs also write where there is none.
READ_AS_MISSING = {"nan", "none", "null", "na", "n/a", "<na>"}


@dataclass(frozen=True)
class Logs:
    """User-item matrix of listening logs, with the ids of its rows and columns.

    Attributes
    ----------
    user_items : float32 CSR, shape (n_users, n_items): 1 or a count
    users, items : the ids of its rows and columns, as strings
    report : rows read, kept and dropped by reason, shape, density
    all_items : the ids of all items in the file, also of those that were left out; None: `items`
    """

    user_items: sparse.csr_matrix
    users: pd.Index
    items: pd.Index
    report: dict[str, float]
    all_items: pd.Index | None = None

    @property
    def known_items(self) -> pd.Index:
        """The ids of all items that the logs name."""
        return self.items if self.all_items is None else self.all_items


def read_logs(
    path: Path,
    *,
    user_column: str = "user_id",
    item_column: str = "item_id",
    count_column: str | None = None,
    exclude_items: Collection[str] = (),
    min_user_items: int = 1,
    min_item_users: int = 1,
) -> Logs:
    """Read a CSV or Parquet file with one row per user and item, or one row per play.

    Repeated pairs are merged: to 1 where there is no `count_column`, else to the sum of counts.
    Ids are text as they stand (`007` and `NA` stay), and integers exactly, so that ids of different
    file types match. A row without an id is dropped and counted; ids like `nan` are counted.

    Parameters
    ----------
    exclude_items : left out in every spelling that programs make of them (`12` and `12.0`)

    Raises
    ------
    BadLogs
        Where the file cannot be read, a column is missing or holds no ids, a count is not finite,
        or fewer than two users or items are left.
    """
    numbers = [count_column] if count_column else []
    try:
        ids, counts = read_ids(path, [user_column, item_column], numbers)
    except BadTable as error:
        raise BadLogs(path, error.reason) from error
    report: dict[str, float] = {"rows_read": len(ids)}
    frame = pd.DataFrame({"user": ids[user_column], "item": ids[item_column]})
    frame["count"] = counts[count_column] if count_column else 1.0
    _refuse_large(frame["count"], path, count_column)
    frame = _keep(frame, frame["user"].notna() & frame["item"].notna(), "missing_id", report)
    frame = _keep(frame, frame["count"].notna(), "count_no_number", report)
    frame = _keep(frame, frame["count"] > 0, "count_not_positive", report)
    all_items = pd.Index(frame["item"].unique())
    report |= _count_doubtful(frame)
    excluded = _spellings(all_items, exclude_items)
    frame = _keep(frame, ~frame["item"].isin(excluded), "item_excluded", report)
    pairs = frame.groupby(["user", "item"], sort=True, as_index=False)["count"].sum()
    report["dropped_repeated_pair"] = len(frame) - len(pairs)
    n_users = pairs.groupby("item")["user"].transform("size")
    pairs = _keep(pairs, n_users >= min_item_users, "item_with_few_users", report)
    n_items = pairs.groupby("user")["item"].transform("size")
    pairs = _keep(pairs, n_items >= min_user_items, "user_with_few_items", report)
    if pairs.empty:
        raise BadLogs(path, f"no row is left of {len(ids)} after filtering: {report}")
    logs = _to_matrix(pairs, binary=count_column is None, report=report)
    return replace(logs, all_items=all_items)


def _spellings(items: pd.Index, excluded: Collection[str]) -> list[str]:
    """The items that are one of the excluded ones, in whatever spelling."""
    bare = {bare_id(item) for item in excluded}
    return [item for item in items if bare and bare_id(item) in bare]


def _count_doubtful(frame: pd.DataFrame) -> dict[str, float]:
    """Ids that another one is a spelling of, and rows with an id like `nan`; without zeros."""
    found: dict[str, float] = {}
    is_missing = pd.Series(False, frame.index)
    for column in ("user", "item"):
        ids = frame[column].unique()
        found[f"{column}s_spelled_twice"] = len(ids) - len({bare_id(name) for name in ids})
        like_missing = [name for name in ids if name.casefold() in READ_AS_MISSING]
        is_missing |= frame[column].isin(like_missing)
    found["rows_with_id_like_nan"] = int(is_missing.sum())
    return {name: count for name, count in found.items() if count}


def _refuse_large(counts: pd.Series, path: Path, column: str | None) -> None:
    """Refuse counts that are infinite, or whose sums would be."""
    large = np.flatnonzero(counts.abs() > MAX_COUNT)
    if large.size:
        raise BadLogs(
            path,
            f"the column {column} holds {counts.iloc[large[0]]:g} in row {large[0] + 1} "
            f"({large.size} of {len(counts)} rows), and counts are numbers up to {MAX_COUNT:g}; "
            "correct it, or leave the row out",
        )


def _keep(
    frame: pd.DataFrame, mask: pd.Series, reason: str, report: dict[str, float]
) -> pd.DataFrame:
    report[f"dropped_{reason}"] = int((~mask).sum())
    return frame[mask]


def _to_matrix(pairs: pd.DataFrame, *, binary: bool, report: dict[str, float]) -> Logs:
    user, users = pd.factorize(pairs["user"], sort=True)
    item, items = pd.factorize(pairs["item"], sort=True)
    values = np.ones(len(pairs)) if binary else pairs["count"].to_numpy()
    user_items = sparse.csr_matrix(
        (values.astype(np.float32), (user, item)), shape=(len(users), len(items))
    )
    report |= {
        "rows_kept": len(pairs),
        "n_users": len(users),
        "n_items": len(items),
        "density": len(pairs) / (len(users) * len(items)),
    }
    return Logs(user_items, pd.Index(users), pd.Index(items), report)
