"""Catalogue of songs: ids, centred unit vectors and metadata; immutable.

Vectors are centred before they are scaled to unit length. All predicted vectors share a large
common part; with it, a few songs are near to every other one (hubs; Radovanović et al. 2010), and
every cosine is high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.catalogue.search import (
    Filters,
    Hit,
    Positions,
    Vectors,
    descending,
    exact_products,
    lengths_of,
    unit,
)
from models.catalogue.source import BadCatalogue, CatalogueSource
from models.catalogue.users import Users

# Columns that a track may have besides its vector; null where unknown.
TEXTS = ("title", "artist", "sha256")
# Copies of a recording have equal vectors but for rounding.
DUPLICATE_COSINE = 1 - 1e-5


@dataclass(frozen=True, eq=False)
class Track:
    """A song to put into a catalogue; the vector is as an encoder predicts it, shape (dim,)."""

    track_id: str
    vector: Vectors
    title: str | None = None
    artist: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Songs with centred unit vectors, and the users of their space.

    Attributes
    ----------
    columns : `track_id` and `TEXTS`, n values each
    blocks : vectors of the file, and those of songs that were put since: float32, centred and of
        unit length, (n_block, dim)
    lengths : float32, shape (n,), before the scaling
    predicted : bool, shape (n,): centred by `query_mean`, as queries are; else by `mean`
    mean : float32, shape (dim,), of vectors that are no predictions, such as item factors
    query_mean : float32, shape (dim,), of predictions. Theirs is another common part than that of
        item factors; `docs/catalogue.md` has what hubs each leaves
    users : None where it has none
    removed : positions of songs that were deleted or replaced
    about : where the songs are from, and their licence
    """

    source: CatalogueSource
    columns: Mapping[str, pa.ChunkedArray]
    blocks: tuple[Vectors, ...]
    lengths: Vectors
    predicted: NDArray[np.bool_]
    mean: Vectors
    query_mean: Vectors
    users: Users | None = None
    removed: frozenset[int] = frozenset()
    about: str = ""

    def __len__(self) -> int:
        return len(self.lengths) - len(self.removed)

    @property
    def vectors(self) -> Vectors:
        """The centred unit vectors, shape (n, dim)."""
        return self.blocks[0] if len(self.blocks) == 1 else np.concatenate(self.blocks)

    @classmethod
    def build(
        cls,
        source: CatalogueSource,
        track_ids: Sequence[str],
        vectors: Vectors,
        texts: Mapping[str, Sequence[str | None]],
        query_mean: Vectors | None = None,
        *,
        users: Users | None = None,
        about: str = "",
    ) -> Catalogue:
        """A catalogue of vectors as an encoder predicts them, or of item factors of its space.

        Parameters
        ----------
        query_mean : mean of predictions, where the vectors are item factors; None for predictions

        Raises
        ------
        BadCatalogue
            If there is no track, an id comes twice, a vector is not finite, or users have vectors
            of another length.
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
        is_predicted = query_mean is None
        query_mean = mean if query_mean is None else query_mean.astype(np.float32)
        return cls(
            source,
            _columns_of(track_ids, texts),
            (unit(vectors - mean),),
            lengths_of(vectors - mean),
            np.full(len(track_ids), is_predicted),
            mean,
            query_mean,
            about=about,
        ).with_users(users)

    def with_users(self, users: Users | None) -> Catalogue:
        """The same songs for these users.

        Raises
        ------
        BadCatalogue
            If their factors have another length than the songs' vectors, or are not finite.
        """
        if users is not None:
            dim = self.mean.shape[0]
            if users.factors.shape != (len(users.ids), dim):
                raise BadCatalogue(
                    f"{len(users.ids)} users have factors of shape {users.factors.shape}",
                    value=str(users.factors.shape),
                    limit=f"({len(users.ids)}, {dim})",
                )
            if not np.isfinite(users.factors).all():
                raise BadCatalogue("the factors of a user are not finite")
        return replace(self, users=users)

    def emptied(self) -> Catalogue:
        """The same means and users, without a song: what a new catalogue begins with."""
        return replace(
            self,
            columns=_columns_of([], {}),
            blocks=(self.blocks[0][:0],),
            lengths=self.lengths[:0],
            predicted=self.predicted[:0],
            removed=frozenset(),
            about="",
        )

    def put(self, track: Track) -> Catalogue:
        """The catalogue with another song, or with another one of its id; no other vector changes.

        Raises
        ------
        BadCatalogue
            If the vector is not finite or of another length.
        """
        if track.vector.shape != self.query_mean.shape or not np.isfinite(track.vector).all():
            raise BadCatalogue(
                f"the vector of {track.track_id!r} is not {self.query_mean.size} finite numbers",
                value=track.track_id,
            )
        centred = track.vector[None] - self.query_mean
        base, *added = self.blocks
        given: dict[str, str | None] = {
            "title": track.title,
            "artist": track.artist,
            "sha256": track.sha256,
        }
        row = _columns_of([track.track_id], {name: [text] for name, text in given.items()})
        return replace(
            self.delete(track.track_id),
            columns={name: _append(self.columns[name], row[name]) for name in row},
            blocks=(base, np.concatenate([*added, unit(centred)])),
            lengths=np.append(self.lengths, lengths_of(centred)),
            predicted=np.append(self.predicted, True),
        )

    def delete(self, track_id: str) -> Catalogue:
        """The catalogue without a song; the same where there is none of that id."""
        position = self.find(track_id)
        return self if position is None else replace(self, removed=self.removed | {position})

    def compact(self) -> Catalogue:
        """The same songs in the same order, in one block."""
        kept = np.setdiff1d(np.arange(len(self.lengths)), sorted(self.removed))
        columns = {
            name: pa.chunked_array([column.take(kept).combine_chunks()], pa.string())
            for name, column in self.columns.items()
        }
        return replace(
            self,
            columns=columns,
            blocks=(self.vectors[kept],),
            lengths=self.lengths[kept],
            predicted=self.predicted[kept],
            removed=frozenset(),
        )

    def find(self, track_id: str) -> int | None:
        """Position of a track; None if there is none."""
        return self._find("track_id", track_id)

    def find_sha256(self, sha256: str) -> int | None:
        """Position of the first track of a file; None if there is none."""
        return self._find("sha256", sha256)

    def _find(self, name: str, text: str) -> int | None:
        column, position = self.columns[name], -1
        while True:
            position = pc.index(column, text, position + 1).as_py()
            if position not in self.removed:
                return None if position < 0 else position

    def vectors_at(self, positions: Sequence[int] | Positions) -> Vectors:
        """The centred unit vectors of songs, shape (n_positions, dim)."""
        base, *added = self.blocks
        positions = np.asarray(positions, np.int64)
        if not added:
            return base[positions]
        is_added = positions >= len(base)
        rows = np.empty((len(positions), base.shape[1]), np.float32)
        rows[~is_added] = base[positions[~is_added]]
        rows[is_added] = added[0][positions[is_added] - len(base)]
        return rows

    def predictions_at(self, positions: Sequence[int]) -> Vectors:
        """Vectors of songs as they were indexed, shape (n_positions, dim), but for rounding."""
        means = np.where(self.predicted[positions][:, None], self.query_mean, self.mean)
        vectors: Vectors = means + self.lengths[positions][:, None] * self.vectors_at(positions)
        return vectors

    def centre(self, vectors: Vectors, source: CatalogueSource) -> Vectors:
        """Vectors as an encoder predicts them → as the catalogue has them, (…, dim).

        Raises
        ------
        BadCatalogue
            If the vectors are of another space or model.
        """
        self.source.require(source, "the query")
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
        products = [block @ query for block in self.blocks]  # (n, dim) -> (n,)
        approximate = products[0] if len(products) == 1 else np.concatenate(products)
        artists = self._artists_of(seed_positions) if filters.exclude_same_artist else set()
        hits: list[Hit] = []
        by_artist: dict[str, int] = {}
        rank = 0
        for position, cosine in descending(
            approximate, lambda rows: exact_products(self.vectors_at(rows), query), len(query)
        ):
            if cosine < filters.min_cosine or len(hits) == filters.limit:
                break
            if position in self.removed:
                continue
            rank += 1
            artist = self.columns["artist"][position].as_py()
            is_seed = (
                position in seed_positions
                or self.columns["sha256"][position].as_py() in seed_sha256
                or float((seeds @ self.vectors_at([position])[0]).max()) > DUPLICATE_COSINE
            )
            count = by_artist.get(artist, 0) if artist else 0
            is_full = filters.max_per_artist and count >= filters.max_per_artist
            if is_seed or is_full or artist in artists:
                continue
            if artist:
                by_artist[artist] = count + 1
            hits.append(self._hit(position, cosine, rank))
        return hits

    def _artists_of(self, positions: Collection[int]) -> set[str | None]:
        named = {self.columns["artist"][position].as_py() for position in positions}
        return named - {None}

    def _hit(self, position: int, cosine: float, rank: int) -> Hit:
        return Hit(
            track_id=self.columns["track_id"][position].as_py(),
            cosine=max(-1.0, min(1.0, cosine)),
            rank=rank,
            percentile=100 * (1 - rank / len(self)),
            title=self.columns["title"][position].as_py(),
            artist=self.columns["artist"][position].as_py(),
        )


def _columns_of(
    track_ids: Sequence[str], texts: Mapping[str, Sequence[str | None]]
) -> dict[str, pa.ChunkedArray]:
    none = [None] * len(track_ids)
    columns = {"track_id": track_ids} | {name: texts.get(name, none) for name in TEXTS}
    return {
        name: pa.chunked_array([pa.array(values, pa.string())]) for name, values in columns.items()
    }


def _append(column: pa.ChunkedArray, more: pa.ChunkedArray) -> pa.ChunkedArray:
    """Two chunks at most: that of the file is never copied."""
    base, *added = column.chunks
    return pa.chunked_array([base, pa.concat_arrays([*added, *more.chunks])])


def _first_twice(track_ids: Sequence[str]) -> str:
    counts = Counter(track_ids)
    return next(track_id for track_id in track_ids if counts[track_id] > 1)
