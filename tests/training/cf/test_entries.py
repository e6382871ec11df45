"""Rows on disk become the matrix that scipy makes of them in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from training.cf import entries as module
from training.cf.entries import Codes, Entries, Values, to_matrix
from training.errors import NoSpace

SHAPE = (50, 20)


def rows_of(entries: Entries) -> Iterator[tuple[Codes, Codes, Values | None]]:
    for users, items, counts, _ in entries.blocks():
        yield users, items, counts


@pytest.mark.parametrize("block_rows", [7, 1000, 100_000])
@pytest.mark.parametrize("has_counts", [True, False])
def test_rows_of_several_blocks_are_summed(
    monkeypatch: pytest.MonkeyPatch, block_rows: int, has_counts: bool
) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", block_rows)
    rng = np.random.default_rng(0)
    users = rng.integers(SHAPE[0], size=3000).astype(np.int32)
    users[users == 9] = 8  # a user without rows
    items = rng.integers(SHAPE[1], size=3000).astype(np.int32)
    counts = rng.random(3000) if has_counts else np.ones(3000)
    entries = Entries(has_counts=has_counts, has_times=False)
    for part in np.split(np.arange(3000), [10, 1500]):
        entries.append(users=users[part], items=items[part], counts=counts[part])
    matrix, n_rows = to_matrix(lambda: rows_of(entries), SHAPE, np.float64)
    expected = sparse.csr_matrix((counts, (users, items)), SHAPE)
    assert n_rows == 3000
    assert matrix.nnz == expected.nnz
    assert matrix.has_canonical_format
    np.testing.assert_array_equal(matrix.indices, expected.indices)
    np.testing.assert_allclose(matrix.data, expected.data)


def test_no_rows_make_an_empty_matrix() -> None:
    entries = Entries(has_counts=False, has_times=False)
    matrix, n_rows = to_matrix(lambda: rows_of(entries), SHAPE, bool)
    assert (matrix.shape, matrix.nnz, n_rows) == (SHAPE, 0, 0)


def test_a_full_disk_names_the_folder_and_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    full = Path("/dev/full")  # a device without room, in place of the temporary file
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(full.open, "r+b", 0))
    codes = np.zeros(10, np.int32)
    with pytest.raises(NoSpace, match=rf"{tmp_path}: No space left.*set TMPDIR .*8 bytes a row"):
        Entries(has_counts=False, has_times=False).append(users=codes, items=codes)
