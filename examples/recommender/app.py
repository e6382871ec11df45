"""HTTP API: songs by audio, plays, recommendations. `python -m examples.recommender` starts it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from tasteprint_client import AsyncClient, Retry
from tasteprint_client.errors import AudioRefused, ConnectionFailed, TasteprintError, Unavailable

from examples.recommender.errors import RecommenderError
from examples.recommender.factors import Factors
from examples.recommender.ranking import ANEW, Ranked, Recommender
from examples.recommender.settings import Settings
from examples.recommender.store import Play, Song, Store

RETRY_AFTER_S = 5

Id = Annotated[str, Path(min_length=1, max_length=256)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Limit = Annotated[int, Query(ge=1, le=1000)]


class PlayIn(BaseModel):
    user: Name
    track: Name
    plays: int = Field(default=1, ge=1, le=1_000_000)


class Plays(BaseModel):
    plays: list[PlayIn] = Field(min_length=1, max_length=10_000)


class Taste(BaseModel):
    """What a listener likes: artists of the factorisation, tracks of either kind."""

    artists: list[Name] = Field(default=[], max_length=1000)
    tracks: list[Name] = Field(default=[], max_length=1000)


def create_app(settings: Settings) -> FastAPI:
    """The application; factorisation and database are opened when it starts.

    Raises
    ------
    BadFactors, DatabaseInUse
        At its start.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = Store(settings.database)
        app.state.recommender = Recommender(Factors.load(settings.factors), store)
        _warn_of_stale(app.state.recommender)
        retry = Retry(total_s=settings.embed_timeout_s)
        key = settings.api_key or None
        app.state.client = AsyncClient(settings.service_url, api_key=key, retry=retry)
        yield
        await app.state.client.close()
        store.close()

    app = FastAPI(title="Recommender beside Tasteprint", lifespan=lifespan)
    app.state.settings = settings
    app.add_exception_handler(RecommenderError, _refuse)
    app.add_exception_handler(TasteprintError, _embedding_failed)
    app.put("/tracks/{track_id:path}")(put_track)
    app.get("/tracks/{track_id:path}")(get_track)
    app.post("/plays")(post_plays)
    app.get("/recommend/{user:path}")(recommend)
    app.post("/recommend")(recommend_to)
    app.get("/audience/{track_id:path}")(audience)
    return app


async def put_track(track_id: Id, request: Request) -> JSONResponse:
    """Embed a song's audio, the body, and make it recommendable at once."""
    limit: int = request.app.state.settings.max_upload_bytes
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            return _problem(413, f"the file has more than {limit} bytes; send a smaller one")
    client: AsyncClient = request.app.state.client
    found = await client.embed(bytes(content), features=False)
    model = found.model
    song = Song(
        track_id,
        found.embedding,
        model.space or "none",
        model.name,
        model.digest,
        model.precision,
        found.audio.sha256,
    )
    await run_in_threadpool(_recommender(request).put_song, song)
    return JSONResponse(await run_in_threadpool(_describe, request, track_id))


def get_track(track_id: Id, request: Request) -> dict[str, Any]:
    """Plays seen of a track, and the weight of its sound against them."""
    return _describe(request, track_id)


def post_plays(body: Plays, request: Request) -> dict[str, Any]:
    """Add plays; on the disk before the answer."""
    plays = [Play(play.user, play.track, play.plays) for play in body.plays]
    unknown = _recommender(request).add_plays(plays)
    # Kept all the same: a song may be PUT later, or be in the next factorisation.
    return {"stored": len(plays), "unknown_tracks": unknown}


def recommend(user: Id, request: Request, limit: Limit = 10) -> dict[str, Any]:
    """Tracks for a user of the factorisation, or for one whose plays were posted."""
    return _answer(request, _recommender(request).recommend(user, limit))


def recommend_to(body: Taste, request: Request, limit: Limit = 10) -> Any:
    """Tracks for a listener of the artists and tracks given."""
    liked = [*body.artists, *body.tracks]
    if not liked:
        return _problem(422, "no artist and no track is given; name one that the listener likes")
    return _answer(request, _recommender(request).recommend_to(liked, limit))


def audience(track_id: Id, request: Request, limit: Limit = 10) -> dict[str, Any]:
    """Users who would like a track best and have not played it."""
    users = _recommender(request).audience(track_id, limit)
    return {"users": [{"user": user, "score": score} for user, score in users]}


def _recommender(request: Request) -> Recommender:
    recommender: Recommender = request.app.state.recommender
    return recommender


def _describe(request: Request, track_id: str) -> dict[str, Any]:
    recommender = _recommender(request)
    return asdict(recommender.place(track_id)) | {"space": recommender.factors.space}


def _answer(request: Request, ranked: list[Ranked]) -> dict[str, Any]:
    # Songs of another factorisation are in no ranking: that they are missing is said.
    stale = len(_recommender(request).stale)
    return {"recommendations": [asdict(track) for track in ranked], "songs_of_other_spaces": stale}


def _warn_of_stale(recommender: Recommender) -> None:
    for song in list(recommender.stale.values())[:1]:
        logging.getLogger("uvicorn.error").warning(
            "%d songs, %s among them, were embedded by %s in the space %s, and the factorisation "
            "is of %s: they are left out; %s",
            len(recommender.stale),
            song.track_id,
            song.model,
            song.space[:12],
            recommender.factors.space[:12],
            ANEW,
        )


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RecommenderError)
    return _problem(error.status, str(error))


async def _embedding_failed(request: Request, error: Exception) -> JSONResponse:
    """The service's word on the song, or that it does not answer."""
    if isinstance(error, AudioRefused):
        return _problem(error.status, str(error))
    if isinstance(error, ConnectionFailed | Unavailable):
        detail = f"the embedding service does not answer: {error}; send the song again"
        return _problem(503, detail, {"Retry-After": str(RETRY_AFTER_S)})
    return _problem(502, f"the embedding service refused: {error}")


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)
