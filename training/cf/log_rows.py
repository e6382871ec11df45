"""Rows of listening logs as numbers of users and items, on disk, and what was dropped and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.cf.entries import Codes, Entries, Values
from training.errors import BadLogs, BadTable
from training.tables.batches import Batch, read_batches
from training.tables.encoding import IdDictionary
from training.tables.ids import bare_id, bare_ids

# Counts are float32 in the matrix. Far below its largest number the sums of ALS overflow; a user
# who plays a song once a minute for a century has 5e7.
MAX_COUNT = 1e9
# Ids that stay, as they may be names, and that programs also write where there is none.
READ_AS_MISSING = ["nan", "none", "null", "na", "n/a", "<na>"]
# Rows wait in memory until their ids have numbers.
MAX_WAITING_ROWS = 1 << 24
MAX_SAMPLED_TIMES = 1 << 22
Report = dict[str, float]


@dataclass(frozen=True)
class LogColumns:
    """Names of a table's columns."""

    user: str
    item: str
    count: str | None = None
    time: str | None = None


class LogRows:
    """Rows of logs with an id, a positive count and a time, as far as there are such columns.

    Attributes
    ----------
    users, items : the ids, text in order
    report : rows read and dropped
    """

    def __init__(
        self, entries: Entries, users: IdDictionary, items: IdDictionary, report: Report
    ) -> None:
        self._entries = entries
        self.users, self._user_ranks = _sort(users.ids)
        self.items, self._item_ranks = _sort(items.ids)
        self.report = report | self._count_doubtful()

    @property
    def n_rows(self) -> int:
        return self._entries.n_rows

    def close(self) -> None:
        self._entries.close()

    def blocks(
        self, excluded: NDArray[np.bool_], until: float = np.inf
    ) -> Iterator[tuple[Codes, Codes, Values | None]]:
        """Rows of `users` and of `items`, and counts, without excluded items and later times."""
        for users, items, counts, times in self._entries.blocks():
            rows, columns = self._user_ranks[users], self._item_ranks[items]
            is_kept = ~excluded[columns]
            if times is not None:
                is_kept &= times <= until
            if is_kept.all():
                yield rows, columns, counts
            else:
                yield rows[is_kept], columns[is_kept], None if counts is None else counts[is_kept]

    def find_items(self, names: Collection[str]) -> NDArray[np.bool_]:
        """Which of the items are one of these, in whatever spelling, shape (n_items,)."""
        if not names:
            return np.zeros(len(self.items), bool)
        wanted = pa.array({bare_id(name) for name in names}, pa.string())
        is_named = pc.is_in(bare_ids(self.items), wanted)
        return np.asarray(is_named.to_numpy(zero_copy_only=False))

    def quantile_of_times(self, share: float) -> float:
        """The time up to which this share of the rows is, of a sample that is spread evenly."""
        step = -(-self.n_rows // MAX_SAMPLED_TIMES) or 1
        sampled = [times[::step] for *_, times in self._entries.blocks() if times is not None]
        return float(np.quantile(np.concatenate(sampled), share, method="lower"))

    def _count_doubtful(self) -> Report:
        """Ids that another one is a spelling of, and rows with an id like `nan`; without zeros."""
        found: Report = {}
        like_missing = []
        for name, ids, ranks in (
            ("users", self.users, self._user_ranks),
            ("items", self.items, self._item_ranks),
        ):
            found[f"{name}_spelled_twice"] = len(ids) - pc.count_distinct(bare_ids(ids)).as_py()
            is_like = pc.is_in(pc.utf8_lower(ids), pa.array(READ_AS_MISSING))
            like_missing.append(is_like.to_numpy(zero_copy_only=False)[ranks])
        of_users, of_items = like_missing
        if of_users.any() or of_items.any():
            found["rows_with_id_like_nan"] = sum(
                int((of_users[users] | of_items[items]).sum())
                for users, items, *_ in self._entries.blocks()
            )
        return {name: count for name, count in found.items() if count}


def read_rows(paths: Path | Sequence[Path], columns: LogColumns) -> LogRows:
    """Read the rows of all files, see `training.tables.batches.read_batches`.

    Raises
    ------
    BadLogs, NoSpace
    """
    entries = Entries(has_counts=bool(columns.count), has_times=bool(columns.time))
    writer = _Writer(entries, columns)
    try:
        for batch in read_batches(
            paths,
            [columns.user, columns.item],
            [columns.count] if columns.count else [],
            [columns.time] if columns.time else [],
        ):
            writer.write(batch)
        writer.flush()
        return LogRows(entries, writer.users, writer.items, writer.report)
    except BaseException as error:
        entries.close()
        if isinstance(error, BadTable):
            raise BadLogs(error.path, error.reason) from error
        raise


class _Writer:
    """Encodes batches, and writes their rows as soon as their ids have numbers."""

    def __init__(self, entries: Entries, columns: LogColumns) -> None:
        self.users, self.items = IdDictionary(), IdDictionary()
        self.report: Report = {"rows_read": 0, "dropped_missing_id": 0}
        if columns.count:
            self.report |= {"dropped_count_no_number": 0, "dropped_count_not_positive": 0}
        if columns.time:
            self.report["dropped_no_time"] = 0
        self._entries, self._columns = entries, columns
        self._waiting: list[tuple[Values | None, Values | None]] = []
        self._n_waiting = 0

    def write(self, batch: Batch) -> None:
        users, items = batch.ids[self._columns.user], batch.ids[self._columns.item]
        counts = batch.numbers.get(self._columns.count or "")
        times = batch.times.get(self._columns.time or "")
        is_kept = (users.codes >= 0) & (items.codes >= 0)
        self.report["rows_read"] += len(is_kept)
        self.report["dropped_missing_id"] += int((~is_kept).sum())
        if counts is not None:
            _refuse_large(batch, counts, self._columns.count)
            is_kept = self._drop(is_kept, np.isnan(counts), "count_no_number")
            is_kept = self._drop(is_kept, counts <= 0, "count_not_positive")
        if times is not None:
            is_kept = self._drop(is_kept, np.isnan(times), "no_time")
        if not is_kept.all():
            users, items = users.select(is_kept), items.select(is_kept)
            counts = None if counts is None else counts[is_kept]
            times = None if times is None else times[is_kept]
        self.users.add(users)
        self.items.add(items)
        self._waiting.append((counts, times))
        self._n_waiting += len(users.codes)
        if self._n_waiting >= MAX_WAITING_ROWS or self.users.is_full or self.items.is_full:
            self.flush()

    def _drop(
        self, is_kept: NDArray[np.bool_], is_bad: NDArray[np.bool_], reason: str
    ) -> NDArray[np.bool_]:
        self.report[f"dropped_{reason}"] += int((is_kept & is_bad).sum())
        return is_kept & ~is_bad

    def flush(self) -> None:
        """Give the ids that wait their numbers, and write their rows."""
        with ThreadPoolExecutor(2) as pool:
            users, items = pool.map(IdDictionary.flush, (self.users, self.items))
        columns = {"users": users, "items": items}
        if self._waiting and self._columns.count:
            columns["counts"] = np.concatenate([counts for counts, _ in self._waiting])
        if self._waiting and self._columns.time:
            columns["times"] = np.concatenate([times for _, times in self._waiting])
        if self._waiting:
            self._entries.append(**columns)
        self._waiting, self._n_waiting = [], 0


def _refuse_large(batch: Batch, counts: Values, column: str | None) -> None:
    """Refuse counts that are infinite, or whose sums would be."""
    large = np.flatnonzero(np.abs(counts) > MAX_COUNT)
    if large.size:
        raise BadTable(
            batch.file,
            f"the column {column} holds {counts[large[0]]:g} in row {batch.first_row + large[0]} "
            f"({large.size} of {len(counts)} rows), and counts are numbers up to {MAX_COUNT:g}; "
            "correct it, or leave the row out",
        )


def _sort(ids: pa.Array) -> tuple[pa.Array, Codes]:
    """Ids in order, and the place of each there."""
    order = pc.sort_indices(ids).to_numpy()
    ranks = np.empty(len(ids), np.int32)
    ranks[order] = np.arange(len(ids), dtype=np.int32)
    return ids.take(pa.array(order)), ranks
