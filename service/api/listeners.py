"""Audience routes: the users of the catalogue's CF space most likely to like a song."""

from __future__ import annotations

import asyncio
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from models.catalogue import Catalogue, Users, Vectors
from service.api import render
from service.api.audio import run_one
from service.api.openapi import FILE_BODY, LISTENERS_SEEDS_PROBLEMS, LISTENERS_UPLOAD_PROBLEMS
from service.api.seeds import describe, find_seeds, source_of_model, store_of, vector_of
from service.errors import NoUserFactors
from service.pipeline.pipeline import pipeline_of
from service.schemas.headers import SERVER_TIMING
from service.schemas.queries import ListenersSeedsQuery, ListenersUploadQuery
from service.schemas.responses import Listeners, UserRanked

router = APIRouter()


@router.post(
    "/listeners",
    response_model_exclude_none=True,
    responses=LISTENERS_UPLOAD_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["catalogue"],
)
async def listeners_of_upload(
    request: Request, response: Response, query: Annotated[ListenersUploadQuery, Query()]
) -> Listeners:
    """The users most likely to like this audio, which nobody has heard yet."""
    pipeline, store = pipeline_of(request), store_of(request)
    catalogue = store.catalogue
    users = _users_of(catalogue)
    model = await pipeline.encoder(store.encoder)
    answer, timer = await run_one(request, pipeline, model, query.window)
    catalogue.source.require(source_of_model(model), "the upload")
    with timer.stage("search"):
        ranked = await asyncio.to_thread(_rank, users, vector_of(answer), query.limit)
    response.headers[SERVER_TIMING] = timer.header()
    return Listeners(
        catalogue=describe(catalogue),
        listeners=ranked,
        model=render.model_used(model),
        window=answer.computed.window,
        audio=answer.computed.audio,
        cached=answer.cached,
    )


@router.get(
    "/listeners",
    response_model_exclude_none=True,
    responses=LISTENERS_SEEDS_PROBLEMS,
    tags=["catalogue"],
)
async def listeners_of_tracks(
    request: Request, query: Annotated[ListenersSeedsQuery, Query()]
) -> Listeners:
    """The users most likely to like tracks of the catalogue, or audio by its SHA-256.

    Of several songs, those who are most likely to like all together.
    """
    pipeline, store = pipeline_of(request), store_of(request)
    catalogue = store.catalogue
    users = _users_of(catalogue)
    seeds = await find_seeds(pipeline, store, catalogue, query, "/listeners")
    songs = np.concatenate([*seeds.vectors, catalogue.predictions_at(seeds.positions)])
    ranked = await asyncio.to_thread(_rank, users, songs, query.limit)
    return Listeners(catalogue=describe(catalogue), listeners=ranked)


def _users_of(catalogue: Catalogue) -> Users:
    """The users of a catalogue.

    Raises
    ------
    NoUserFactors
    """
    if catalogue.users is None:
        raise NoUserFactors(
            f"the catalogue of {len(catalogue)} tracks has no user factors, which make an audience"
        )
    return catalogue.users


def _rank(users: Users, songs: Vectors, limit: int) -> list[UserRanked]:
    return [
        UserRanked(
            user_id=listener.user_id,
            score=listener.score,
            rank=listener.rank,
            percentile=listener.percentile,
        )
        for listener in users.rank(songs, limit)
    ]
