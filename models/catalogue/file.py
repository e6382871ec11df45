"""File of a catalogue: Parquet, the songs' rows first, then those of the users.

One file, so that it is replaced at once.
"""

from __future__ import annotations

import json
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

METADATA = b"tasteprint-catalogue"
SCHEMA_VERSION = 2
COLUMNS = ("track_id", *TEXTS)


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
        table = pq.ParquetFile(path).read()
        stated = json.loads((table.schema.metadata or {})[METADATA])
        if stated.pop("schema") != SCHEMA_VERSION:
            raise ValueError("written by another version")
        return _read(table, stated)
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise BadCatalogue(
            f"{path} is no catalogue ({type(error).__name__}: {error})",
            value=str(path),
            remedy="make one by `tasteprint index`",
        ) from error


def _read(table: pa.Table, stated: dict[str, Any]) -> Catalogue:
    """A catalogue of the rows and what the metadata states."""
    mean, query_mean = (np.array(stated.pop(name), np.float32) for name in ("mean", "query_mean"))
    n_users, about = stated.pop("users"), stated.pop("about")
    dim, n_songs = len(mean), len(table) - n_users
    vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, dim)
    users = None
    if n_users:
        ids = table["user_id"].slice(n_songs).combine_chunks()
        users = Users(ids, vectors[n_songs:])
    songs = table.slice(0, n_songs)
    return Catalogue(
        source=CatalogueSource(**stated),
        columns={
            name: pa.chunked_array([songs[name].combine_chunks()], pa.string()) for name in COLUMNS
        },
        blocks=(vectors[:n_songs],),
        lengths=songs["length"].to_numpy(),
        predicted=songs["predicted"].to_numpy(),
        mean=mean,
        query_mean=query_mean,
        users=users,
        about=about,
    )


def _as_lists(vectors: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
