"""Makes a catalogue of embedded songs, and asks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from models.catalogue import Catalogue, CatalogueSource, Filters, Hit
from service.cli.errors import BadArgument
from service.cli.local import LocalEngine
from service.cli.settings import local_settings
from service.cli.songs import Song
from service.cli.table import OK, Source, source_of

NAMES = ("title", "artist")


@dataclass(frozen=True)
class Indexed:
    """What became of the rows of a table.

    Attributes
    ----------
    failed : rows without a vector, which are left out
    named : tracks that the metadata has a row of; of `metadata_rows` rows
    """

    tracks: int
    failed: int
    named: int
    metadata_rows: int


def index(embeddings: Path, metadata: Path | None, out: Path) -> Indexed:
    """Write the catalogue of a table of `tasteprint embed`.

    Parameters
    ----------
    metadata : CSV or Parquet with `track_id`, and `title` or `artist` or both

    Raises
    ------
    BadArgument, BadCatalogue
    """
    source = source_of(embeddings)
    table = pq.read_table(embeddings, columns=["track_id", "sha256", "embedding", "status"])
    good = table.filter(pc.equal(table["status"], OK))
    track_ids = good["track_id"].to_pylist()
    named = _read_names(metadata) if metadata else {}
    texts: dict[str, list[str | None]] = {
        name: [named.get(track_id, {}).get(name) for track_id in track_ids] for name in NAMES
    }
    texts["sha256"] = good["sha256"].to_pylist()
    vectors = good["embedding"].combine_chunks().flatten().to_numpy()
    vectors = vectors.reshape(-1, source.embedding)
    Catalogue.build(_as_catalogue(source), track_ids, vectors, texts).save(out)
    n_named = sum(track_id in named for track_id in track_ids)
    return Indexed(len(track_ids), len(table) - len(good), n_named, len(named))


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
    return CatalogueSource(source.model, source.version, source.digest, source.space)


async def find_similar(catalogue: Catalogue, seeds: Sequence[str], filters: Filters) -> list[Hit]:
    """The songs nearest to seeds: ids of the catalogue, or files.

    Raises
    ------
    BadArgument
        If a seed is neither, or its file cannot be embedded.
    BadCatalogue
        If the catalogue is of another model than the one that is installed.
    """
    positions = {seed: catalogue.find(seed) for seed in seeds}
    files = [seed for seed in seeds if positions[seed] is None]
    for file in files:
        if not Path(file).is_file():
            raise BadArgument(
                f"{file!r} is neither a track of the catalogue nor a file", value=file
            )
    known = [position for position in positions.values() if position is not None]
    vectors = [catalogue.vectors[known]]
    digests: list[str] = []
    if files:
        rows, source = await _embed([Song.of(Path(file), file) for file in files], catalogue)
        vectors.append(catalogue.centre(np.array([row.embedding for row in rows]), source))
        digests = [row.sha256 for row in rows]
    return catalogue.search(
        np.concatenate(vectors).astype(np.float32),
        filters,
        seed_positions=known,
        seed_sha256=digests,
    )


async def _embed(songs: Sequence[Song], catalogue: Catalogue) -> tuple[list[Any], CatalogueSource]:
    settings = local_settings(catalogue.source.model, "auto", 0)
    engine = await LocalEngine.open(settings, "middle", features=False)
    try:
        rows = [await engine.embed(song) for song in songs]
    finally:
        await engine.close()
    for row in rows:
        if row.status != OK:
            raise BadArgument(f"{row.song.path}: {row.detail}", value=str(row.song.path))
    return rows, _as_catalogue(engine.source)
