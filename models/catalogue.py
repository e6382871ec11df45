"""Catalogue of songs: ids, unit vectors and metadata in one Parquet file, searched exactly.

Vectors are centred before they are scaled to unit length. All predicted vectors share a large
common part; with it, a few songs are near to every other one (hubs; Radovanović et al. 2010), and
every cosine is high.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.atomic_write import write_atomically
from models.errors import TasteprintError

Vectors = NDArray[np.float32]
METADATA = b"tasteprint-catalogue"
SCHEMA_VERSION = 1
# Columns that a track may have besides its vector; null where unknown.
TEXTS = ("title", "artist", "sha256")
# Copies of a recording have equal vectors but for rounding.
DUPLICATE_COSINE = 1 - 1e-5
# Candidates that are sorted at first; more where filters leave too few.
MIN_CANDIDATES = 256


class BadCatalogue(TasteprintError):
    """Raised if a file is no catalogue, or does not fit to a query."""

    title = "Bad catalogue"


@dataclass(frozen=True)
class CatalogueSource:
    """What made the vectors: queries must be of the same.

    Attributes
    ----------
    space : CF space, where the model predicts one; then models of that space may ask
    """

    model: str
    version: str
    digest: str
    space: str | None = None

    def accepts(self, other: CatalogueSource) -> bool:
        """Whether vectors of another source may be compared with these."""
        return self.space == other.space if self.space else self.digest == other.digest

    def describe(self) -> str:
        space = f", CF space {self.space[:12]}" if self.space else ""
        return f"{self.model} {self.version} ({self.digest[:12]}{space})"


@dataclass(frozen=True)
class Hit:
    """A song near to a query.

    Attributes
    ----------
    cosine : of the centred vectors, from -1 to 1
    rank : 1 for the nearest of the catalogue, whatever was left out
    percentile : share of the catalogue that is less near, from 0 to 100
    """

    track_id: str
    cosine: float
    rank: int
    percentile: float
    title: str | None = None
    artist: str | None = None


@dataclass(frozen=True)
class Filters:
    """What is left out of the answer to a query.

    Attributes
    ----------
    exclude_same_artist : songs by an artist of a seed
    max_per_artist : 0 for any number; songs without an artist are not limited
    """

    limit: int = 10
    exclude_same_artist: bool = False
    max_per_artist: int = 0
    min_cosine: float = -1.0


class Catalogue:
    """Songs with centred unit vectors.

    Parameters
    ----------
    track_ids : n ids, each once
    vectors : float32, shape (n, dim), centred and of unit length
    mean : float32, shape (dim,), what was subtracted
    texts : column of `TEXTS` → n texts or nulls
    query_mean : float32, shape (dim,), what is subtracted from queries; None for `mean`. Where the
        vectors are no predictions, such as item factors, predictions have another common part: with
        the catalogue's, one artist was among the first ten of up to 29 % of songs, with their own
        of 13 % at most (105 to 117 songs of held-out artists, three folds)
    """

    def __init__(
        self,
        source: CatalogueSource,
        track_ids: pa.Array,
        vectors: Vectors,
        mean: Vectors,
        texts: Mapping[str, pa.Array],
        query_mean: Vectors | None = None,
    ) -> None:
        self.source, self.track_ids, self.vectors, self.mean = source, track_ids, vectors, mean
        self.query_mean = mean if query_mean is None else query_mean
        self.texts = {
            name: texts.get(name, pa.nulls(len(track_ids), pa.string())) for name in TEXTS
        }

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def build(
        cls,
        source: CatalogueSource,
        track_ids: Sequence[str],
        vectors: Vectors,
        texts: Mapping[str, Sequence[str | None]],
        query_mean: Vectors | None = None,
    ) -> Catalogue:
        """A catalogue of vectors as an encoder predicts them, or of item factors of its space.

        Raises
        ------
        BadCatalogue
            If there is no track, an id comes twice, or a vector is not finite.
        """
        if not len(track_ids):
            raise BadCatalogue("there is no track", value=0, limit=1)
        if len(set(track_ids)) < len(track_ids):
            twice = _first_twice(track_ids)
            raise BadCatalogue(f"the track id {twice!r} comes twice", value=twice)
        if not np.isfinite(vectors).all():
            first = track_ids[int(np.argmin(np.isfinite(vectors).all(1)))]
            raise BadCatalogue(f"the vector of {first!r} is not finite", value=first)
        mean = vectors.mean(0, dtype=np.float64).astype(np.float32)
        arrays = {name: pa.array(column, pa.string()) for name, column in texts.items()}
        ids = pa.array(track_ids, pa.string())
        return cls(source, ids, unit(vectors - mean), mean, arrays, query_mean)

    def save(self, path: Path) -> None:
        """Write the catalogue; a reader sees the old file or the new one."""
        means = {"mean": self.mean.tolist(), "query_mean": self.query_mean.tolist()}
        stated = {"schema": SCHEMA_VERSION} | means | asdict(self.source)
        dim = self.vectors.shape[1]
        columns = {"track_id": self.track_ids} | self.texts
        flat = pa.array(self.vectors.reshape(-1))
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, dim)
        table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(stated).encode()})
        with write_atomically(path) as part:
            pq.write_table(table, part, compression="zstd")

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read a catalogue.

        Raises
        ------
        BadCatalogue
        """
        try:
            table = pq.ParquetFile(path).read()
            stated = json.loads((table.schema.metadata or {})[METADATA])
            mean, query_mean = (
                np.array(stated.pop(name), np.float32) for name in ("mean", "query_mean")
            )
            stated.pop("schema")
            vectors = table["vector"].combine_chunks().flatten().to_numpy()
            texts = {name: table[name].combine_chunks() for name in TEXTS}
            ids = table["track_id"].combine_chunks()
            source = CatalogueSource(**stated)
            vectors = vectors.reshape(-1, len(mean))
            return cls(source, ids, vectors, mean, texts, query_mean)
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise BadCatalogue(
                f"{path} is no catalogue ({type(error).__name__}: {error})",
                value=str(path),
                remedy="make one by `tasteprint index`",
            ) from error

    def find(self, track_id: str) -> int | None:
        """Position of a track; None if there is none."""
        position: int = pc.index(self.track_ids, track_id).as_py()
        return None if position < 0 else position

    def find_sha256(self, sha256: str) -> int | None:
        """Position of the first track of a file; None if there is none."""
        position: int = pc.index(self.texts["sha256"], sha256).as_py()
        return None if position < 0 else position

    def centre(self, vectors: Vectors, source: CatalogueSource) -> Vectors:
        """Vectors as an encoder predicts them → as the catalogue has them, (…, dim).

        Raises
        ------
        BadCatalogue
            If the vectors are of another space or model.
        """
        if not self.source.accepts(source):
            raise BadCatalogue(
                f"the catalogue has vectors of {self.source.describe()}, and the query is of "
                f"{source.describe()}: they have nothing in common",
                value=source.space or source.digest,
                limit=self.source.space or self.source.digest,
                remedy="ask with that model, or index vectors of this one",
            )
        return unit(vectors - self.query_mean)

    def search(
        self,
        seeds: Vectors,
        filters: Filters,
        *,
        seed_positions: Collection[int] = (),
        seed_sha256: Collection[str] = (),
    ) -> list[Hit]:
        """The songs nearest to the mean of the seeds, nearest first; never a seed or its copy.

        Parameters
        ----------
        seeds : centred unit vectors, shape (n_seeds, dim)
        seed_positions : of the seeds that are in the catalogue
        seed_sha256 : of the seeds' files
        """
        query = unit(seeds.mean(0, keepdims=True))[0]
        cosines = self.vectors @ query  # (n, dim) -> (n,)
        artists = self._artists_of(seed_positions) if filters.exclude_same_artist else set()
        hits: list[Hit] = []
        by_artist: dict[str, int] = {}
        for rank, position in enumerate(_descending(cosines), 1):
            if cosines[position] < filters.min_cosine or len(hits) == filters.limit:
                break
            artist = self.texts["artist"][position].as_py()
            is_seed = (
                position in seed_positions
                or self.texts["sha256"][position].as_py() in seed_sha256
                or float((seeds @ self.vectors[position]).max()) > DUPLICATE_COSINE
            )
            count = by_artist.get(artist, 0) if artist else 0
            is_full = filters.max_per_artist and count >= filters.max_per_artist
            if is_seed or is_full or artist in artists:
                continue
            if artist:
                by_artist[artist] = count + 1
            hits.append(self._hit(position, float(cosines[position]), rank))
        return hits

    def _artists_of(self, positions: Collection[int]) -> set[str | None]:
        named = {self.texts["artist"][position].as_py() for position in positions}
        return named - {None}

    def _hit(self, position: int, cosine: float, rank: int) -> Hit:
        return Hit(
            track_id=self.track_ids[position].as_py(),
            cosine=max(-1.0, min(1.0, cosine)),
            rank=rank,
            percentile=100 * (1 - rank / len(self)),
            title=self.texts["title"][position].as_py(),
            artist=self.texts["artist"][position].as_py(),
        )


def unit(vectors: Vectors) -> Vectors:
    """Vectors of length 1; a zero vector stays one."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def _descending(values: Vectors) -> Iterator[int]:
    """Positions by descending value, equal ones by position; sorted a part at a time."""
    begin, count = 0, MIN_CANDIDATES
    while begin < len(values):
        count = min(count, len(values))
        if count < len(values):
            threshold = np.partition(values, len(values) - count)[len(values) - count]
            chosen = np.flatnonzero(values >= threshold)
        else:
            chosen = np.arange(len(values))
        order = chosen[np.lexsort((chosen, -values[chosen]))]
        yield from map(int, order[begin:])
        begin, count = len(order), 8 * len(order)


def _first_twice(track_ids: Sequence[str]) -> str:
    counts = Counter(track_ids)
    return next(track_id for track_id in track_ids if counts[track_id] > 1)
