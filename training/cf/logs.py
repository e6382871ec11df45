"""Reader of listening logs, CSV or Parquet, to a sparse user-item matrix: out of core.

Logs are read in batches (`training.tables.batches`), and rows wait as numbers on disk
(`training.cf.log_rows`): in memory are the matrix that comes out, and the ids.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from training.cf.entries import to_matrix
from training.cf.log_rows import LogColumns, LogRows, Report, read_rows
from training.errors import BadLogs


@dataclass(frozen=True)
class Logs:
    """User-item matrix of listening logs, with the ids of its rows and columns.

    Attributes
    ----------
    user_items : float32 CSR, shape (n_users, n_items): 1 or a count
    users, items : the ids of its rows and columns, as strings
    report : rows read, kept and dropped by reason, shape, density
    all_items : the ids of all items in the file, also of those that were left out; None: `items`
    earlier : as `user_items`, of the rows up to a time; None where times were not asked for
    """

    user_items: sparse.csr_matrix
    users: pd.Index
    items: pd.Index
    report: Report
    all_items: pd.Index | None = None
    earlier: sparse.csr_matrix | None = None

    @property
    def known_items(self) -> pd.Index:
        """The ids of all items that the logs name."""
        return self.items if self.all_items is None else self.all_items


def read_logs(
    path: Path | Sequence[Path],
    *,
    user_column: str = "user_id",
    item_column: str = "item_id",
    count_column: str | None = None,
    time_column: str | None = None,
    later_share: float = 0.2,
    sum_repeats: bool = False,
    exclude_items: Collection[str] = (),
    min_user_items: int = 1,
    min_item_users: int = 1,
) -> Logs:
    """Read logs of one row per user and item, or one row per play.

    Repeated pairs are merged: to 1 where there is no `count_column`, else to the sum of counts.
    Ids are text as they stand (`007` and `NA` stay), and integers exactly, so that ids of different
    file types match. A row without an id is dropped and counted; ids like `nan` are counted.

    Parameters
    ----------
    path : files, folders or patterns, see `training.tables.sources.list_tables`
    time_column : of numbers or dates: the result has `earlier`, without the latest rows
    later_share : of the rows, that are not in `earlier`
    sum_repeats : without a `count_column`, an entry is the number of its rows
    exclude_items : left out in every spelling that programs make of them (`12` and `12.0`)
    min_user_items, min_item_users : of a user's items and an item's users; both hold for what is
        left, so users and items are dropped in turns until none is below

    Raises
    ------
    BadLogs
        Where a file cannot be read, a column is missing or holds no ids, a count is not finite,
        or no row is left.
    NoSpace
    """
    columns = LogColumns(user_column, item_column, count_column, time_column)
    with closing(read_rows(path, columns)) as rows:
        excluded = rows.find_items(exclude_items)
        kind = np.float64 if count_column else np.uint32 if sum_repeats else bool
        to_csr = partial(_to_matrix, rows, excluded, kind)
        report = rows.report
        matrix, n_rows = to_csr()
        report["dropped_item_excluded"] = rows.n_rows - n_rows
        report["dropped_repeated_pair"] = n_rows - matrix.nnz
        earlier = None
        if time_column:
            report["later_than"] = rows.quantile_of_times(1 - later_share)
            earlier, _ = to_csr(report["later_than"])
        logs = Logs(
            matrix,
            _to_index(rows.users),
            _to_index(rows.items),
            report,
            all_items=_to_index(rows.items),
            earlier=earlier,
        )
    kept = filter_logs(logs, min_user_items=min_user_items, min_item_users=min_item_users)
    if not kept.user_items.nnz:
        first = path if isinstance(path, Path) else path[0]
        reason = f"no row is left of {report['rows_read']:.0f} after filtering: {kept.report}"
        raise BadLogs(first, reason)
    return kept


def filter_logs(logs: Logs, *, min_user_items: int, min_item_users: int) -> Logs:
    """Drop items with few users, and users with few items, in turns until there are none.

    What is left is the largest part in which both minima hold (the k-core of a bipartite graph).
    Users and items without any entry are dropped too.
    """
    matrix = logs.user_items
    users, items = np.arange(matrix.shape[0]), np.arange(matrix.shape[1])
    report = logs.report | {"dropped_item_with_few_users": 0, "dropped_user_with_few_items": 0}
    n_rounds, is_stable = 0, False
    while not is_stable:
        n_entries = matrix.nnz
        of_items = matrix.getnnz(0) >= max(1, min_item_users)
        if not of_items.all():
            matrix, items = matrix[:, of_items], items[of_items]
        report["dropped_item_with_few_users"] += n_entries - matrix.nnz
        n_entries, of_users = matrix.nnz, matrix.getnnz(1) >= max(1, min_user_items)
        if not of_users.all():
            matrix, users = matrix[of_users], users[of_users]
        report["dropped_user_with_few_items"] += n_entries - matrix.nnz
        is_stable = bool(of_items.all() and of_users.all())
        n_rounds += not is_stable
    if max(min_item_users, min_user_items) > 1:
        report["filter_rounds"] = n_rounds
    report |= {"rows_kept": matrix.nnz, "n_users": len(users), "n_items": len(items)}
    report["density"] = matrix.nnz / max(1, len(users) * len(items))
    earlier = None if logs.earlier is None else logs.earlier[users][:, items]
    return replace(
        logs,
        user_items=matrix,
        users=logs.users[users],
        items=logs.items[items],
        report=report,
        earlier=earlier,
    )


def _to_matrix(
    rows: LogRows,
    excluded: NDArray[np.bool_],
    kind: DTypeLike,
    until: float = np.inf,
) -> tuple[sparse.csr_matrix, int]:
    """The entries as float32, and the number of rows that they are made of.

    Parameters
    ----------
    kind : of sums of counts, or rows; bool for entries that are 1
    """
    shape = (len(rows.users), len(rows.items))
    matrix, n_rows = to_matrix(partial(rows.blocks, excluded, until), shape, kind)
    matrix.data = (
        np.ones(matrix.nnz, np.float32) if kind is bool else matrix.data.astype(np.float32)
    )
    return matrix, n_rows


def _to_index(ids: pa.Array) -> pd.Index:
    return pd.Index(pd.Series(ids.to_pandas(), dtype="str"))
