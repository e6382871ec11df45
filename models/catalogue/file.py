"""File of a catalogue: Parquet, the songs' rows first, then those of the users.

One file, so that it is replaced at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.atomic_write import write_atomically
from models.catalogue.songs import TEXTS, Catalogue
from models.catalogue.source import BadCatalogue, CatalogueSource
from models.catalogue.users import Users
from models.malloc import release_freed_memory

METADATA = b"tasteprint-catalogue"
SCHEMA_VERSION = 2
COLUMNS = ("track_id", *TEXTS)
# A few pages of a column at a time: larger parts are in memory twice, and leave gaps.
READ_BYTES, READ_ROWS = 1 << 20, 1 << 13


def save(catalogue: Catalogue, path: Path) -> None:
    """Write a catalogue; a reader sees the old file or the new one, also after a power cut."""
    songs = catalogue.compact()
    n_users = len(songs.users) if songs.users else 0
    stated: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "mean": songs.mean.tolist(),
        "query_mean": songs.query_mean.tolist(),
        "users": n_users,
        "about": songs.about,
    } | asdict(songs.source)
    columns = {name: songs.columns[name] for name in COLUMNS}
    rows = pa.table(
        columns
        | {
            "predicted": pa.array(songs.predicted),
            "length": pa.array(songs.lengths),
            "vector": _as_lists(songs.blocks[0]),
            "user_id": pa.nulls(len(songs), pa.string()),
        }
    )
    if songs.users:
        users = pa.table({"vector": _as_lists(songs.users.factors), "user_id": songs.users.ids})
        rows = pa.concat_tables([rows, users], promote_options="default")
    table = rows.replace_schema_metadata({METADATA: json.dumps(stated).encode()})
    with write_atomically(path, durable=True) as part:
        pq.write_table(table, part, compression="zstd")


def load(path: Path) -> Catalogue:
    """Read a catalogue.

    Raises
    ------
    BadCatalogue
    """
    try:
        with _returned_memory():
            # Read a page at a time: whole columns, compressed and plain, would be in memory twice.
            file = pq.ParquetFile(path, buffer_size=READ_BYTES)
            stated = json.loads((file.schema_arrow.metadata or {})[METADATA])
            if stated.pop("schema") != SCHEMA_VERSION:
                raise ValueError("written by another version")
            return _read(file, stated)
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise BadCatalogue(
            f"{path} is no catalogue ({type(error).__name__}: {error})",
            value=str(path),
            remedy="make one by `tasteprint index`",
        ) from error


def _read(file: pq.ParquetFile, stated: dict[str, Any]) -> Catalogue:
    """A catalogue of the rows and what the metadata states."""
    mean, query_mean = (np.array(stated.pop(name), np.float32) for name in ("mean", "query_mean"))
    n_users, about = stated.pop("users"), stated.pop("about")
    n_rows, dim = file.metadata.num_rows, len(mean)
    n_songs = n_rows - n_users
    vectors, lengths = np.empty((n_rows, dim), np.float32), np.empty(n_songs, np.float32)
    predicted = np.empty(n_songs, np.bool_)
    texts: dict[str, list[pa.Array]] = {name: [] for name in (*COLUMNS, "user_id")}
    end = 0
    for batch in file.iter_batches(READ_ROWS):
        begin, end = end, end + len(batch)
        vectors[begin:end] = batch["vector"].flatten().to_numpy().reshape(-1, dim)
        songs = batch.slice(0, max(0, n_songs - begin))
        lengths[begin:end] = songs["length"].to_numpy()
        predicted[begin:end] = songs["predicted"].to_numpy(zero_copy_only=False)
        for name in COLUMNS:
            texts[name].append(songs[name])
        texts["user_id"].append(batch["user_id"].slice(len(songs)))
    columns = {name: _join(arrays) for name, arrays in texts.items()}
    users = Users(columns.pop("user_id"), vectors[n_songs:]) if n_users else None
    return Catalogue(
        source=CatalogueSource(**stated),
        columns={name: pa.chunked_array([columns[name]], pa.string()) for name in COLUMNS},
        blocks=(vectors[:n_songs],),
        lengths=lengths,
        predicted=predicted,
        mean=mean,
        query_mean=query_mean,
        users=users,
        about=about,
    )


@contextmanager
def _returned_memory() -> Iterator[None]:
    """Give back to the system what was freed: after a million tracks, Arrow's own allocator keeps
    40 MB of it, and glibc's 130 MB until it is asked.
    """
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
        release_freed_memory()


def _join(arrays: list[pa.Array]) -> pa.Array:
    return pa.concat_arrays([*arrays, pa.array([], pa.string())])


def _as_lists(vectors: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
