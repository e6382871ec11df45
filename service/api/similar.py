"""Similarity routes: the songs of the catalogue nearest to an upload, or to known songs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from models.catalogue import Catalogue, Filters, Hit, Vectors
from service.api import render
from service.api.audio import run_one
from service.api.openapi import FILE_BODY, SIMILAR_SEEDS_PROBLEMS, SIMILAR_UPLOAD_PROBLEMS
from service.api.seeds import (
    Seeds,
    describe,
    find_seeds,
    source_of_model,
    store_of,
    vector_of,
)
from service.pipeline.pipeline import pipeline_of
from service.schemas.headers import SERVER_TIMING
from service.schemas.queries import SimilarQuery, SimilarSeedsQuery, SimilarUploadQuery
from service.schemas.responses import Similar, SimilarSong

router = APIRouter()


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
        vector = catalogue.centre(vector_of(answer), source_of_model(model))
        seeds = Seeds([], [vector], [computed.audio.sha256])
        hits = await asyncio.to_thread(_search, catalogue, query, seeds.vectors, seeds)
    response.headers[SERVER_TIMING] = timer.header()
    return Similar(
        catalogue=describe(catalogue),
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
    pipeline, store = pipeline_of(request), store_of(request)
    catalogue = store.catalogue
    seeds = await find_seeds(pipeline, store, catalogue, query, "/similar")
    vectors = [catalogue.centre(vector, catalogue.source) for vector in seeds.vectors]
    hits = await asyncio.to_thread(_search, catalogue, query, vectors, seeds)
    return Similar(catalogue=describe(catalogue), hits=[_song(hit) for hit in hits])


def _search(
    catalogue: Catalogue, query: SimilarQuery, vectors: list[Vectors], seeds: Seeds
) -> list[Hit]:
    """The hits of seeds.

    Parameters
    ----------
    vectors : centred, of those seeds that are not in the catalogue
    """
    copies = [catalogue.find_sha256(digest) for digest in seeds.sha256]
    known = [*seeds.positions, *(position for position in copies if position is not None)]
    filters = Filters(
        query.limit, query.exclude_same_artist, query.max_per_artist, query.min_cosine
    )
    rows = np.concatenate([*vectors, catalogue.vectors_at(seeds.positions)])
    return catalogue.search(rows, filters, seed_positions=known, seed_sha256=seeds.sha256)


def _song(hit: Hit) -> SimilarSong:
    return SimilarSong(
        track_id=hit.track_id,
        title=hit.title,
        artist=hit.artist,
        cosine=hit.cosine,
        rank=hit.rank,
        percentile=hit.percentile,
    )
