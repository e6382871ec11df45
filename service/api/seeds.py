"""Songs that a request asks about: tracks of the catalogue, or audio by its SHA-256."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
from fastapi import Request

from models.audio.window_choice import WindowChoice
from models.catalogue import Catalogue, CatalogueSource, Vectors
from service.catalogue.store import CatalogueStore, source_of
from service.errors import InvalidParameter, UnknownTrack
from service.inference.model import Model
from service.pipeline.model_request import ModelAnswer
from service.pipeline.pipeline import Pipeline
from service.schemas.queries import SeedsQuery
from service.schemas.responses import CatalogueUsed


@dataclass(frozen=True, eq=False)
class Seeds:
    """Songs of the catalogue, and vectors of others.

    Attributes
    ----------
    positions : in the catalogue, each once
    vectors : as predicted, each of shape (1, dim)
    sha256 : of the songs that were named by it
    """

    positions: list[int]
    vectors: list[Vectors]
    sha256: list[str]


def store_of(request: Request) -> CatalogueStore:
    """The catalogue of the application that serves the request."""
    store: CatalogueStore = request.app.state.catalogue
    return store


async def find_seeds(
    pipeline: Pipeline, store: CatalogueStore, catalogue: Catalogue, query: SeedsQuery, route: str
) -> Seeds:
    """The songs that a query names.

    Raises
    ------
    InvalidParameter
        If it names none.
    UnknownTrack
    """
    if not query.track_id and not query.sha256:
        raise InvalidParameter(
            "neither track_id nor sha256 is given",
            remedy=f"name a track: {route}?track_id=…; or upload audio: POST {route}",
        )
    found = await asyncio.to_thread(_find_tracks, catalogue, query)
    missing = [sha256 for sha256 in query.sha256 if found[sha256] is None]
    vectors = [await _cached_vector(pipeline, store, catalogue, sha256) for sha256 in missing]
    known = [position for position in found.values() if position is not None]
    return Seeds(list(dict.fromkeys(known)), vectors, query.sha256)


def _find_tracks(catalogue: Catalogue, query: SeedsQuery) -> dict[str, int | None]:
    """Position of each track id, and of each SHA-256 or None.

    Raises
    ------
    UnknownTrack
        Of a track id.
    """
    positions: dict[str, int | None] = {}
    for track_id in query.track_id:
        position = catalogue.find(track_id)
        if position is None:
            raise unknown_track(track_id, catalogue)
        positions[track_id] = position
    return positions | {sha256: catalogue.find_sha256(sha256) for sha256 in query.sha256}


def unknown_track(track_id: str, catalogue: Catalogue) -> UnknownTrack:
    return UnknownTrack(
        f"the catalogue has no track {track_id[:64]!r}",
        value=track_id[:64],
        limit=f"{len(catalogue)} tracks",
    )


async def _cached_vector(
    pipeline: Pipeline, store: CatalogueStore, catalogue: Catalogue, sha256: str
) -> Vectors:
    """The vector of audio whose answer is cached.

    Raises
    ------
    UnknownTrack
    """
    model = await pipeline.encoder(store.encoder)
    answer = await pipeline.look_up(sha256, WindowChoice().text, model)
    if answer is None:
        raise UnknownTrack(
            f"neither the catalogue nor the cache has audio with the SHA-256 {sha256}",
            value=sha256,
        )
    catalogue.source.require(source_of_model(model), "the cached answer")
    return vector_of(answer)


def vector_of(answer: ModelAnswer) -> Vectors:
    """The vector of an answer as predicted, shape (1, dim)."""
    return np.array([answer.computed.outputs["embedding"]], np.float32)


def source_of_model(model: Model) -> CatalogueSource:
    """The source of the vectors that a model makes."""
    return source_of(model.bundle, model.precision)


def describe(catalogue: Catalogue) -> CatalogueUsed:
    source = catalogue.source
    return CatalogueUsed.model_validate(
        {
            "tracks": len(catalogue),
            "users": len(catalogue.users) if catalogue.users else None,
            "model": source.model,
            "digest": source.digest,
            "precision": source.precision,
            "space": source.space,
        }
    )
