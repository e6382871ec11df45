"""Similarity routes: the songs of the catalogue nearest to an upload, or to known songs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from models.audio.window_choice import WindowChoice
from models.catalogue import Catalogue, Filters, Hit
from models.catalogue import Vectors as Rows
from service.api import render
from service.api.audio import run_one
from service.api.openapi import FILE_BODY, SIMILAR_SEEDS_PROBLEMS, SIMILAR_UPLOAD_PROBLEMS
from service.catalogue.store import CatalogueStore, source_of
from service.errors import InvalidParameter, UnknownTrack
from service.pipeline.model_request import ModelAnswer
from service.pipeline.pipeline import Pipeline, pipeline_of
from service.schemas.headers import SERVER_TIMING
from service.schemas.queries import SimilarQuery, SimilarSeedsQuery, SimilarUploadQuery
from service.schemas.responses import CatalogueUsed, Similar, SimilarSong

router = APIRouter()


def store_of(request: Request) -> CatalogueStore:
    """The catalogue of the application that serves the request."""
    store: CatalogueStore = request.app.state.catalogue
    return store


@router.post(
    "/similar",
    response_model_exclude_none=True,
    responses=SIMILAR_UPLOAD_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["catalogue"],
)
async def similar_to_upload(
    request: Request, response: Response, query: Annotated[SimilarUploadQuery, Query()]
) -> Similar:
    """The songs of the catalogue nearest to this audio; a copy of it is not among them."""
    pipeline, store = pipeline_of(request), store_of(request)
    catalogue = store.catalogue
    model = await pipeline.encoder(store.encoder)
    answer, timer = await run_one(request, pipeline, model, query.window)
    computed = answer.computed
    with timer.stage("search"):
        hits = await asyncio.to_thread(
            _search, catalogue, query, [_centred(catalogue, answer)], [], [computed.audio.sha256]
        )
    response.headers[SERVER_TIMING] = timer.header()
    return Similar(
        catalogue=_describe(catalogue),
        hits=[_song(hit) for hit in hits],
        model=render.model_used(model),
        window=computed.window,
        audio=computed.audio,
        cached=answer.cached,
    )


@router.get(
    "/similar",
    response_model_exclude_none=True,
    responses=SIMILAR_SEEDS_PROBLEMS,
    tags=["catalogue"],
)
async def similar_to_tracks(
    request: Request, query: Annotated[SimilarSeedsQuery, Query()]
) -> Similar:
    """The songs nearest to tracks of the catalogue, or to audio by its SHA-256.

    Of several, those nearest to all together; none of them is among the answers.
    """
    if not query.track_id and not query.sha256:
        raise InvalidParameter(
            "neither track_id nor sha256 is given",
            remedy="name a track: /similar?track_id=…; or upload audio: POST /similar",
        )
    pipeline, store = pipeline_of(request), store_of(request)
    catalogue = store.catalogue
    positions = await asyncio.to_thread(_find_tracks, catalogue, query)
    found = [positions[sha256] for sha256 in query.sha256]
    missing = [
        sha256 for sha256, position in zip(query.sha256, found, strict=True) if position is None
    ]
    vectors = [await _cached_vector(pipeline, store, catalogue, sha256) for sha256 in missing]
    known = [position for position in positions.values() if position is not None]
    hits = await asyncio.to_thread(_search, catalogue, query, vectors, known, query.sha256)
    return Similar(catalogue=_describe(catalogue), hits=[_song(hit) for hit in hits])


def _find_tracks(catalogue: Catalogue, query: SimilarSeedsQuery) -> dict[str, int | None]:
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
            raise UnknownTrack(
                f"the catalogue has no track {track_id[:64]!r}",
                value=track_id[:64],
                limit=f"{len(catalogue)} tracks",
            )
        positions[track_id] = position
    return positions | {sha256: catalogue.find_sha256(sha256) for sha256 in query.sha256}


async def _cached_vector(
    pipeline: Pipeline, store: CatalogueStore, catalogue: Catalogue, sha256: str
) -> Rows:
    """The centred vector of audio whose answer is cached.

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
    return _centred(catalogue, answer)


def _centred(catalogue: Catalogue, answer: ModelAnswer) -> Rows:
    vector = np.array([answer.computed.outputs["embedding"]], np.float32)
    return catalogue.centre(vector, source_of(answer.model.bundle))


def _search(
    catalogue: Catalogue,
    query: SimilarQuery,
    vectors: Sequence[Rows],
    positions: Sequence[int],
    digests: Sequence[str],
) -> list[Hit]:
    """The hits of seeds: centred vectors, and positions in the catalogue."""
    copies = [catalogue.find_sha256(digest) for digest in digests]
    known = [*positions, *(position for position in copies if position is not None)]
    filters = Filters(
        query.limit, query.exclude_same_artist, query.max_per_artist, query.min_cosine
    )
    seeds = np.concatenate([*vectors, catalogue.vectors[list(dict.fromkeys(positions))]])
    return catalogue.search(seeds, filters, seed_positions=known, seed_sha256=digests)


def _song(hit: Hit) -> SimilarSong:
    return SimilarSong(
        track_id=hit.track_id,
        title=hit.title,
        artist=hit.artist,
        cosine=hit.cosine,
        rank=hit.rank,
        percentile=hit.percentile,
    )


def _describe(catalogue: Catalogue) -> CatalogueUsed:
    source = catalogue.source
    return CatalogueUsed(
        tracks=len(catalogue), model=source.model, digest=source.digest, space=source.space
    )
