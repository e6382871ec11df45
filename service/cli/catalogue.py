"""Makes a catalogue of embedded songs or of item factors, and asks it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from models.catalogue import Catalogue, CatalogueSource, Filters, Hit, Listener, Vectors, save
from models.catalogue.journal import load_current
from models.catalogue.users import Users, make_users
from service.catalogue.choice import find_catalogue
from service.cli.errors import BadArgument
from service.cli.processes.engine import open_engine
from service.cli.settings import local_settings
from service.cli.songs import Song
from service.cli.spark.folder import is_table, read_folder
from service.cli.table import OK, Source, source_of
from service.cores import cores

NAMES = ("title", "artist")


@dataclass(frozen=True)
class Indexed:
    """What became of the rows of a table.

    Attributes
    ----------
    failed : rows without a vector, which are left out; of item factors those without metadata
    named : tracks that the metadata has a row of; of `metadata_rows` rows
    """

    tracks: int
    failed: int
    named: int
    metadata_rows: int
    users: int = 0


@dataclass(frozen=True)
class Rows:
    """Vectors of songs, and what made them."""

    source: CatalogueSource
    track_ids: list[str]
    vectors: Vectors
    sha256: list[str | None]
    failed: int = 0

    @classmethod
    def of_table(cls, path: Path) -> Rows:
        """Those of a table of `tasteprint embed`: its file, or the folder that Spark writes."""
        names = ["track_id", "sha256", "embedding", "status"]
        if path.is_dir():
            source, table = read_folder(path, names)
        else:
            source, table = source_of(path), pq.read_table(path, columns=names)
        good = table.filter(pc.equal(table["status"], OK))
        vectors = good["embedding"].combine_chunks().flatten().to_numpy()
        return cls(
            _as_catalogue(source),
            good["track_id"].to_pylist(),
            vectors.reshape(-1, source.embedding),
            good["sha256"].to_pylist(),
            len(table) - len(good),
        )


@dataclass(frozen=True)
class FactorFolder:
    """Factors of a folder of `tasteprint-train factorize`, and the digest of their space."""

    path: Path
    space: str

    @classmethod
    def of(cls, path: Path) -> FactorFolder:
        """The folder.

        Raises
        ------
        BadArgument
        """
        try:
            return cls(path, json.loads((path / "report.json").read_text())["space"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadArgument(
                f"{path} is no folder of `tasteprint-train factorize` ({type(error).__name__}), "
                "and has no Parquet files of `tasteprint embed --engine spark`",
                value=str(path),
            ) from error

    def read(self, kind: str) -> tuple[list[str], Vectors]:
        """Ids and factors of `item` or `user`.

        Raises
        ------
        BadArgument
        """
        try:
            factors = np.load(self.path / f"{kind}_factors.npy")
            column = f"{kind}_id"
            options = pyarrow.csv.ConvertOptions(column_types={column: pa.string()})
            table = pyarrow.csv.read_csv(self.path / f"{kind}s.csv", convert_options=options)
            ids = table[column].to_pylist()
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise BadArgument(
                f"the {kind} factors in {self.path} cannot be read: {error}", value=str(self.path)
            ) from error
        return ids, np.asarray(factors, np.float32)

    def require(self, source: CatalogueSource, what: str) -> None:
        """Refuse to put these factors beside vectors of another space.

        Raises
        ------
        BadArgument
        """
        if source.space == self.space:
            return
        raise BadArgument(
            f"the factors in {self.path} are of the CF space {self.space[:12]}, and {what} is of "
            f"{source.describe()}: they have nothing in common",
            value=self.space,
            limit=source.space or source.digest,
            remedy="give the factors that the model was trained with",
        )


def index(
    embeddings: Path,
    metadata: Path | None,
    out: Path,
    *,
    users: Path | None = None,
    queries: Path | None = None,
    prefix: str = "",
    about: str = "",
) -> Indexed:
    """Write the catalogue of a table of `tasteprint embed`, or of a folder of item factors.

    Parameters
    ----------
    metadata : CSV or Parquet with `track_id`, and `title` or `artist` or both; of item factors,
        only items with a row are taken
    users : folder of `tasteprint-train factorize` with the users' factors
    queries : table of predictions, with whose mean queries to item factors are centred
    prefix : of the track ids, before the ids of the items

    Raises
    ------
    BadArgument, BadCatalogue
    """
    named = _read_names(metadata) if metadata else {}
    query_mean = None
    if embeddings.is_dir() and not is_table(embeddings):
        rows, query_mean = _rows_of_factors(embeddings, queries, prefix, named)
    elif queries or prefix:
        raise BadArgument(
            "--queries and --prefix are for item factors", value=str(embeddings), limit="a folder"
        )
    else:
        rows = Rows.of_table(embeddings)
    texts: dict[str, list[str | None]] = {
        name: [named.get(track_id, {}).get(name) for track_id in rows.track_ids] for name in NAMES
    }
    texts["sha256"] = rows.sha256
    listeners = _read_users(users, rows.source) if users else None
    made = Catalogue.build(
        rows.source, rows.track_ids, rows.vectors, texts, query_mean, users=listeners, about=about
    )
    save(made, out)
    n_named = sum(track_id in named for track_id in rows.track_ids)
    n_users = len(listeners) if listeners else 0
    return Indexed(len(made), rows.failed, n_named, len(named), n_users)


def _rows_of_factors(
    folder: Path, queries: Path | None, prefix: str, named: dict[str, Any]
) -> tuple[Rows, Vectors]:
    """The item factors with a row of metadata, and the mean of the predictions."""
    factors = FactorFolder.of(folder)
    if queries is None or not named:
        raise BadArgument(
            "a catalogue of item factors needs --queries and --metadata",
            value=str(folder),
            remedy="embed some songs: the mean of predictions is another one than that of factors, "
            "and with it a few items would be near to every song",
        )
    predictions = Rows.of_table(queries)
    factors.require(predictions.source, str(queries))
    ids, vectors = factors.read("item")
    track_ids = [f"{prefix}{item}" for item in ids]
    kept = [row for row, track_id in enumerate(track_ids) if track_id in named]
    rows = Rows(
        replace(predictions.source, precision=None),
        [track_ids[row] for row in kept],
        vectors[kept],
        [None] * len(kept),
        len(ids) - len(kept),
    )
    return rows, predictions.vectors.mean(0, dtype=np.float64).astype(np.float32)


def _read_users(folder: Path, source: CatalogueSource) -> Users:
    factors = FactorFolder.of(folder)
    factors.require(source, "the catalogue")
    return make_users(*factors.read("user"))


def _read_names(path: Path) -> dict[str, dict[str, str | None]]:
    """Track id → title and artist."""
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            # Ids are text: 007 is not 7.
            options = pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(("track_id", *NAMES), pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            )
            table = pyarrow.csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowException) as error:
        raise BadArgument(f"{path} cannot be read: {error}", value=str(path)) from error
    columns = [name for name in NAMES if name in table.column_names]
    if "track_id" not in table.column_names or not columns:
        raise BadArgument(
            f"{path} has the columns {', '.join(table.column_names)}",
            value=", ".join(table.column_names),
            limit="track_id, and title or artist",
            remedy="name its columns track_id, title, artist",
        )
    texts = [table[name].cast(pa.string()).to_pylist() for name in ("track_id", *columns)]
    return {
        track_id: dict(zip(columns, values, strict=True))
        for track_id, *values in zip(*texts, strict=True)
    }


def _as_catalogue(source: Source) -> CatalogueSource:
    return CatalogueSource(
        source.model, source.version, source.digest, source.space, source.precision
    )


def open_catalogue(path: Path | None) -> Catalogue:
    """A catalogue with its journal; by default that of the settings, or of the default model.

    Raises
    ------
    BadArgument, BadCatalogue
    """
    settings = local_settings(None, "auto", 0)
    path = path or find_catalogue(settings)
    if path is None:
        raise BadArgument(
            f"the model {settings.default_model} brings no catalogue",
            value=settings.default_model,
            remedy="give one: --catalogue, made by `tasteprint index`",
        )
    return load_current(path).catalogue


async def find_similar(catalogue: Catalogue, seeds: Sequence[str], filters: Filters) -> list[Hit]:
    """The songs nearest to seeds: ids of the catalogue, or files.

    Raises
    ------
    BadArgument
        If a seed is neither, or its file cannot be embedded.
    BadCatalogue
        If the catalogue is of another model than the one that is installed.
    """
    known, predicted, digests = await _resolve(catalogue, seeds)
    centred = catalogue.centre(predicted, catalogue.source)
    return catalogue.search(
        np.concatenate([catalogue.vectors_at(known), centred]),
        filters,
        seed_positions=known,
        seed_sha256=digests,
    )


async def find_listeners(catalogue: Catalogue, seeds: Sequence[str], limit: int) -> list[Listener]:
    """The users most likely to like seeds: ids of the catalogue, or files.

    Raises
    ------
    BadArgument, BadCatalogue
        As of `find_similar`; also where the catalogue has no users.
    """
    if catalogue.users is None:
        raise BadArgument(
            "the catalogue has no user factors",
            remedy="make it with users: tasteprint index … --users",
        )
    known, predicted, _ = await _resolve(catalogue, seeds)
    songs = np.concatenate([catalogue.predictions_at(known), predicted])
    return catalogue.users.rank(songs, limit)


async def _resolve(
    catalogue: Catalogue, seeds: Sequence[str]
) -> tuple[list[int], Vectors, list[str]]:
    """Positions of the seeds in the catalogue; vectors and digests of those that are files."""
    positions = {seed: catalogue.find(seed) for seed in seeds}
    files = [seed for seed in seeds if positions[seed] is None]
    for file in files:
        if not Path(file).is_file():
            raise BadArgument(
                f"{file!r} is neither a track of the catalogue nor a file", value=file
            )
    known = [position for position in positions.values() if position is not None]
    if not files:
        return known, np.empty((0, len(catalogue.mean)), np.float32), []
    rows, source = await _embed([Song.of(Path(file), file) for file in files], catalogue)
    catalogue.source.require(source, "the query")
    vectors = np.array([row.embedding for row in rows], np.float32)
    return known, vectors, [row.sha256 for row in rows]


async def _embed(songs: Sequence[Song], catalogue: Catalogue) -> tuple[list[Any], CatalogueSource]:
    """Rows of songs, embedded in the catalogue's precision where one is stated."""
    source = catalogue.source
    workers = min(len(songs), cores())
    settings = local_settings(source.model, source.precision or "auto", workers)
    engine = await open_engine(settings, "middle", features=False)
    try:
        rows = [await engine.embed(song) for song in songs]
    finally:
        await engine.close()
    for row in rows:
        if row.status != OK:
            raise BadArgument(f"{row.song.path}: {row.detail}", value=str(row.song.path))
    return rows, _as_catalogue(engine.source)
