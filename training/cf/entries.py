"""Rows of logs on disk as numbers, and the sparse matrix that they make: out of core.

A matrix of coordinates and the one of compressed rows that is made of it would be in memory
together. So rows wait in temporary files, in blocks, and each block is scattered to where the rows
of its users begin: in memory is the matrix that comes out, and one block.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from training.errors import NoSpace

BLOCK_ROWS = 1 << 23
Codes = NDArray[np.int32]
Values = NDArray[np.float64]


class Entries:
    """Rows of logs in temporary files, which the system deletes with the object.

    Parameters
    ----------
    has_counts, has_times : whether rows have a count and a time
    """

    def __init__(self, *, has_counts: bool, has_times: bool) -> None:
        self.n_rows = 0
        self.has_counts, self.has_times = has_counts, has_times
        self._opened = ExitStack()
        is_column = {"users": True, "items": True, "counts": has_counts, "times": has_times}
        self._files: dict[str, IO[bytes]] = {
            name: self._opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            for name, is_there in is_column.items()
            if is_there
        }

    def append(self, **columns: NDArray[np.generic]) -> None:
        """Append rows: `users` and `items` as int32, `counts` and `times` as float64.

        Raises
        ------
        NoSpace
        """
        for name, file in self._files.items():
            try:
                file.write(np.ascontiguousarray(columns[name]).data)
                file.flush()
            except OSError as error:
                written = sum(part.tell() for part in self._files.values())
                raise NoSpace(
                    Path(tempfile.gettempdir()), written, os.strerror(error.errno or 0)
                ) from error
        self.n_rows += len(columns["users"])

    def blocks(self) -> Iterator[tuple[Codes, Codes, Values | None, Values | None]]:
        """Users, items, counts and times, `BLOCK_ROWS` rows at a time."""
        for file in self._files.values():
            file.seek(0)
        for start in range(0, self.n_rows, BLOCK_ROWS):
            n_rows = min(BLOCK_ROWS, self.n_rows - start)
            yield (
                np.frombuffer(self._read("users", 4 * n_rows), np.int32),
                np.frombuffer(self._read("items", 4 * n_rows), np.int32),
                self._read_values("counts", n_rows) if self.has_counts else None,
                self._read_values("times", n_rows) if self.has_times else None,
            )

    def _read(self, name: str, n_bytes: int) -> bytes:
        return self._files[name].read(n_bytes)

    def _read_values(self, name: str, n_rows: int) -> Values:
        return np.frombuffer(self._read(name, 8 * n_rows), np.float64)

    def close(self) -> None:
        self._opened.close()


def to_matrix(
    rows: Callable[[], Iterator[tuple[Codes, Codes, Values | None]]],
    shape: tuple[int, int],
    kind: DTypeLike,
) -> tuple[sparse.csr_matrix, int]:
    """The matrix of rows of users, items and counts; those of one user and item are summed.

    Parameters
    ----------
    rows : blocks of rows, the same at each of two calls
    kind : type of the sums; of rows without counts, each counts as one

    Returns
    -------
    CSR, shape `shape`, columns of each row in order; and the number of rows that it is made of
    """
    counts = np.zeros(shape[0], np.int64)
    for users, _, _ in rows():
        counts += np.bincount(users, minlength=shape[0])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    indices = np.empty(indptr[-1], np.int32)
    data = np.zeros(indptr[-1], kind)
    end = indptr[:-1].copy()  # of what is filled of each user's part
    for users, items, values in rows():
        weights = np.ones(len(users), kind) if values is None else values
        block = sparse.csr_matrix((weights, (users, items)), shape, dtype=kind)
        of_user = np.diff(block.indptr)
        places = np.repeat(end - block.indptr[:-1], of_user)
        places += np.arange(block.nnz)
        indices[places], data[places] = block.indices, block.data
        end += of_user
    _fill_gaps(indices, indptr, end)
    matrix = sparse.csr_matrix((data, indices, indptr), shape)
    matrix.sum_duplicates()
    return matrix, int(indptr[-1])


def _fill_gaps(indices: Codes, indptr: NDArray[np.int64], end: NDArray[np.int64]) -> None:
    """Repeat each user's first item, with a count of 0, where rows of a block were summed."""
    gaps = indptr[1:] - end
    places = np.arange(gaps.sum()) + np.repeat(end - (np.cumsum(gaps) - gaps), gaps)
    has_gap = gaps > 0
    indices[places] = np.repeat(indices[indptr[:-1][has_gap]], gaps[has_gap])
