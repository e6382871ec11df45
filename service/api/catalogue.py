"""Catalogue routes: put a song into it, and delete one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from models.catalogue import Track
from service.api import render
from service.api.audio import run_one
from service.api.openapi import DELETE_TRACK_PROBLEMS, FILE_BODY, PUT_TRACK_PROBLEMS
from service.api.seeds import describe, source_of_model, store_of, unknown_track, vector_of
from service.errors import OtherPrecision
from service.pipeline.pipeline import pipeline_of
from service.schemas.headers import SERVER_TIMING
from service.schemas.queries import NoQuery, PutTrackQuery
from service.schemas.responses import TrackDeleted, TrackPut

router = APIRouter()
TrackId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=500,
        description="Any text, also with slashes, as `tasteprint embed` names songs.",
    ),
]


@router.put(
    "/catalogue/{track_id:path}",
    responses=PUT_TRACK_PROBLEMS | {201: {"model": TrackPut, "description": "A new song."}},
    response_model_exclude_none=True,
    openapi_extra=FILE_BODY,
    tags=["catalogue"],
)
async def put_track(
    request: Request,
    response: Response,
    track_id: TrackId,
    query: Annotated[PutTrackQuery, Query()],
) -> TrackPut:
    """Put this audio into the catalogue; another song of the same id is replaced.

    It has neighbours and listeners at once, and the answer is sent when it is on the disk.
    """
    pipeline, store = pipeline_of(request), store_of(request)
    store.check_writable()
    model = await pipeline.encoder(store.encoder)
    source, own = source_of_model(model), store.catalogue.source
    if not own.has_precision_of(source):
        raise OtherPrecision(
            f"the catalogue has vectors in {own.precision}, and the service runs {source.model} in "
            f"{source.precision}",
            value=source.precision,
            limit=own.precision,
            remedy=f"set TASTEPRINT_PRECISION={own.precision}",
        )
    answer, timer = await run_one(request, pipeline, model, query.window)
    computed = answer.computed
    with timer.stage("write"):
        sha256, vector = computed.audio.sha256, vector_of(answer)[0]
        replaced = await store.put(
            Track(track_id, vector, query.title, query.artist, sha256), source
        )
    response.status_code = HTTPStatus.OK if replaced else HTTPStatus.CREATED
    response.headers[SERVER_TIMING] = timer.header()
    return TrackPut(
        track_id=track_id,
        replaced=replaced,
        catalogue=describe(store.catalogue),
        model=render.model_used(model),
        window=computed.window,
        audio=computed.audio,
        cached=answer.cached,
    )


@router.delete(
    "/catalogue/{track_id:path}",
    responses=DELETE_TRACK_PROBLEMS,
    response_model_exclude_none=True,
    tags=["catalogue"],
)
async def delete_track(
    request: Request, track_id: TrackId, query: Annotated[NoQuery, Query()]
) -> TrackDeleted:
    """Delete a song from the catalogue."""
    store = store_of(request)
    store.check_writable()
    if not await store.delete(track_id):
        error = unknown_track(track_id, store.catalogue)
        error.remedy = "check the id: it is that of PUT /catalogue/…, or of `tasteprint index`"
        raise error
    return TrackDeleted(track_id=track_id, catalogue=describe(store.catalogue))
