"""Reader of listening logs: CSV or Parquet -> a sparse user-item matrix, vectorised."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from scipy import sparse

from training.errors import BadLogs


@dataclass(frozen=True)
class Logs:
    """User-item matrix of listening logs, with the ids of its rows and columns.

    Attributes
    ----------
    user_items : float32 CSR, shape (n_users, n_items): 1 or a count
    users, items : the ids of its rows and columns, as strings
    report : rows read, kept and dropped by reason, shape, density
    """

    user_items: sparse.csr_matrix
    users: pd.Index
    items: pd.Index
    report: dict[str, float]


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
    Ids are read as text (`007` and `NA` stay), so that ids of different file types match.

    Raises
    ------
    BadLogs
        Where the file cannot be read, a column is missing, or no row is left.
    """
    rows = _read_columns(path, [user_column, item_column, *filter(None, [count_column])])
    report: dict[str, float] = {"rows_read": len(rows)}
    frame = pd.DataFrame({"user": rows[user_column], "item": rows[item_column]})
    frame["count"] = _counts(rows, count_column)
    frame = _keep(frame, frame["user"].notna() & frame["item"].notna(), "missing_id", report)
    frame = _keep(frame, frame["count"] > 0, "count_not_positive", report)
    frame["user"], frame["item"] = _as_ids(frame["user"]), _as_ids(frame["item"])
    frame = _keep(frame, ~frame["item"].isin(list(exclude_items)), "item_excluded", report)
    pairs = frame.groupby(["user", "item"], sort=True, as_index=False)["count"].sum()
    report["dropped_repeated_pair"] = len(frame) - len(pairs)
    n_users = pairs.groupby("item")["user"].transform("size")
    pairs = _keep(pairs, n_users >= min_item_users, "item_with_few_users", report)
    n_items = pairs.groupby("user")["item"].transform("size")
    pairs = _keep(pairs, n_items >= min_user_items, "user_with_few_items", report)
    if pairs.empty:
        raise BadLogs(path, f"no row is left of {len(rows)} after filtering: {report}")
    return _to_matrix(pairs, binary=count_column is None, report=report)


def _read_columns(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            return pd.read_parquet(path, columns=columns)
        text = pa.csv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns[:2], pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        )
        return pa.csv.read_csv(path, convert_options=text).to_pandas()
    except FileNotFoundError as error:
        raise BadLogs(path, "no such file") from error
    except (ValueError, KeyError, pa.ArrowException) as error:
        raise BadLogs(path, f"needs the columns {', '.join(columns)}: {error}") from error


def _counts(rows: pd.DataFrame, column: str | None) -> pd.Series:
    if column is None:
        return pd.Series(1.0, index=rows.index)
    return pd.to_numeric(rows[column], errors="coerce")


def _as_ids(column: pd.Series) -> pd.Series:
    """Ids as text; pandas reads integers with gaps as floats, so a trailing `.0` is dropped."""
    if pd.api.types.is_float_dtype(column) and (column % 1 == 0).all():
        column = column.astype(np.int64)
    return column.astype(str)


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
