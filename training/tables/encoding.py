"""Dictionary encoding of ids: a table's ids become numbers, batch by batch, out of core.

Arrow encodes a batch; what is checked and made into text are then its distinct ids alone. Distinct
ids of several batches wait until there are as many as the dictionary has, and are hashed together:
so each id is hashed a bounded number of times, whatever the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.tables.ids import exact_text, known_ids

Codes = NDArray[np.int32]
MISSING = -1
MIN_WAITING = 1 << 21


@dataclass(frozen=True)
class EncodedIds:
    """Ids of a batch as numbers.

    Attributes
    ----------
    codes : int32, shape (n_rows,): rows of `ids`, and `MISSING` where a row has no id
    ids : the distinct ids, as text
    """

    codes: Codes
    ids: pa.Array

    def select(self, is_kept: NDArray[np.bool_]) -> EncodedIds:
        """Some of the rows, and of the ids those that one of these rows has."""
        codes = self.codes[is_kept]
        is_used = np.zeros(len(self.ids), bool)
        is_used[codes[codes >= 0]] = True
        renumbered = np.append(np.cumsum(is_used, dtype=np.int32) - 1, np.int32(MISSING))
        return EncodedIds(renumbered[codes], self.ids.filter(pa.array(is_used)))


def encode_ids(column: pa.ChunkedArray) -> EncodedIds:
    """Ids of a batch as numbers, exactly; empty and blank ones are missing.

    Raises
    ------
    BadIds
        If the column does not hold ids, see `training.tables.ids`.
    """
    values = column
    if pa.types.is_dictionary(column.type):
        values = column.cast(column.type.value_type)
    if not (pa.types.is_integer(values.type) or pa.types.is_string(values.type)):
        values = exact_text(column)
    encoded = pc.dictionary_encode(values).unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # of no rows
        return EncodedIds(np.empty(0, np.int32), pa.array([], pa.string()))
    ids = known_ids(encoded.dictionary.cast(pa.string()), column)
    codes = encoded.indices.fill_null(MISSING).to_numpy()
    if ids.null_count:
        is_known = ids.is_valid().to_numpy(zero_copy_only=False)
        renumbered = np.where(is_known, np.cumsum(is_known) - 1, MISSING).astype(np.int32)
        codes, ids = np.append(renumbered, np.int32(MISSING))[codes], ids.drop_null()
    return EncodedIds(codes, ids)


class IdDictionary:
    """Ids of all batches, each once, in the order in which they are found."""

    def __init__(self) -> None:
        self._ids = pa.array([], pa.string())
        self._waiting: list[EncodedIds] = []

    @property
    def ids(self) -> pa.Array:
        """The ids of the batches that `flush` has returned."""
        return self._ids

    @property
    def is_full(self) -> bool:
        """Whether as many ids wait as there are, or `MIN_WAITING` if those are more."""
        n_waiting = sum(len(batch.ids) for batch in self._waiting)
        return n_waiting >= max(MIN_WAITING, len(self._ids))

    def add(self, batch: EncodedIds) -> None:
        self._waiting.append(batch)

    def flush(self) -> Codes:
        """Numbers of the ids of the batches since the last call, in one array."""
        parts = [self._ids, *(batch.ids for batch in self._waiting)]
        encoded = pc.dictionary_encode(pa.chunked_array(parts)).combine_chunks()
        numbers = encoded.indices.to_numpy()
        blocks, start = [np.empty(0, np.int32)], len(self._ids)
        for batch in self._waiting:
            of_batch = numbers[start : start + len(batch.ids)]
            blocks.append(np.append(of_batch, np.int32(MISSING))[batch.codes])
            start += len(batch.ids)
        self._ids, self._waiting = encoded.dictionary, []
        return np.concatenate(blocks)
