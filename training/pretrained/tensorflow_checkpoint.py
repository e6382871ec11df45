"""Reader of TensorFlow checkpoints (format V2), without TensorFlow.

A checkpoint is a folder with an index, a LevelDB table from the name of a variable to its entry (a
protocol buffer), and one data file with the raw numbers.

Source: LevelDB, `doc/table_format.md`; TensorFlow, `core/protobuf/tensor_bundle.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.errors import BadCheckpoint

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
UNCOMPRESSED = 0
DT_FLOAT = 1
VARINT, BYTES, FIXED32 = 0, 2, 5
# Fields of `BundleEntryProto`, of its `TensorShapeProto`, and of each dimension in it.
DTYPE, SHAPE, OFFSET, SIZE = 1, 2, 4, 5
DIMENSION, DIMENSION_SIZE = 2, 1

Variables = dict[str, NDArray[np.float32]]


def read_variables(index: bytes, data: bytes) -> Variables:
    """Every float32 variable by its name, in its own shape.

    Parameters
    ----------
    index, data : contents of the files `….index` and `….data-00000-of-00001`

    Raises
    ------
    BadCheckpoint
    """
    try:
        entries = dict(_read_table(index))
        return {
            name.decode(): variable
            for name, entry in entries.items()
            if name and (variable := _read_variable(entry, data)) is not None
        }
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise BadCheckpoint(f"the index is damaged ({error})") from error


def _read_variable(entry: bytes, data: bytes) -> NDArray[np.float32] | None:
    """The variable that an entry describes; None for another type than float32."""
    fields = dict(_read_fields(entry))
    if fields.get(DTYPE) != DT_FLOAT:
        return None
    dimensions = [
        dict(_read_fields(_as_bytes(value))).get(DIMENSION_SIZE, 0)
        for number, value in _read_fields(_as_bytes(fields.get(SHAPE, b"")))
        if number == DIMENSION
    ]
    start, size = _as_int(fields.get(OFFSET, 0)), _as_int(fields[SIZE])
    if start + size > len(data):
        raise ValueError(f"a variable ends at byte {start + size} of {len(data)}")
    numbers = np.frombuffer(data[start : start + size], "<f4")
    return numbers.reshape([_as_int(dimension) for dimension in dimensions])


def _read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a LevelDB table."""
    footer = table[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("it has no footer of a LevelDB table")
    _, position = _read_handle(footer, 0)  # of the metadata
    (start, size), _ = _read_handle(footer, position)
    for _, handle in _read_block(table, start, size):
        (start, size), _ = _read_handle(handle, 0)
        yield from _read_block(table, start, size)


def _read_block(table: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key states how many bytes it shares with the key before it."""
    if table[start + size] != UNCOMPRESSED:
        raise ValueError("its blocks are compressed")
    block, position, key = table[start : start + size], 0, b""
    n_restarts = struct.unpack("<I", block[-4:])[0]
    while position < len(block) - 4 * (n_restarts + 1):
        n_shared, position = _read_varint(block, position)
        n_own, position = _read_varint(block, position)
        n_value, position = _read_varint(block, position)
        key = key[:n_shared] + block[position : position + n_own]
        position += n_own
        yield key, block[position : position + n_value]
        position += n_value


def _read_handle(content: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Start and size of a block, and the position after them."""
    start, position = _read_varint(content, position)
    size, position = _read_varint(content, position)
    return (start, size), position


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the position after it."""
    number = shift = 0
    while True:
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position


def _read_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protocol buffer."""
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        kind, size = tag & 7, 4
        if kind == VARINT:
            number, position = _read_varint(message, position)
            yield tag >> 3, number
            continue
        if kind == BYTES:
            size, position = _read_varint(message, position)
        elif kind != FIXED32:
            raise ValueError(f"a field has the wire type {kind}")
        yield tag >> 3, message[position : position + size]
        position += size


def _as_int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a field is no number")
    return value


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a field is no message")
    return value
