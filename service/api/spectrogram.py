"""Spectrogram route: what a model takes as its input, from its own graph."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from models.audio.window_choice import WindowChoice
from models.bundle import Bundle
from service.api.openapi import FILE_BODY, SPECTROGRAM_PROBLEMS, SPECTROGRAM_VALUES
from service.api.render import RAW
from service.errors import InvalidParameter
from service.inference.spectrogram import SpectrogramSessions, Values, describe
from service.observability.context import current
from service.pipeline.audio_job import describe_window
from service.pipeline.pipeline import pipeline_of
from service.schemas import headers
from service.schemas.queries import SpectrogramQuery

router = APIRouter()


@router.post(
    "/spectrogram",
    response_class=Response,
    responses=SPECTROGRAM_VALUES | SPECTROGRAM_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["audio"],
)
async def spectrogram(request: Request, query: Annotated[SpectrogramQuery, Query()]) -> Response:
    """The mel spectrogram of a window as an encoder's network takes it, by the graph's own front
    end.

    Neither read from the cache nor written to it.
    """
    choice = WindowChoice.parse(query.window)
    if choice.mode == "all":
        raise InvalidParameter(
            "window: a spectrogram is of one window",
            value=query.window,
            remedy="middle, start, or an offset",
        )
    pipeline, timer = pipeline_of(request), current().new_timer()
    sessions: SpectrogramSessions = request.app.state.spectrograms
    bundle = pipeline.models.find(query.model or pipeline.settings.default_model)
    await asyncio.to_thread(describe, bundle)  # before the upload is read
    audio = bundle.card.audio
    sha256, windows = await pipeline.receive_and_decode(request, audio, choice, timer)
    with timer.stage("infer"):
        values = await asyncio.to_thread(sessions.run, bundle, windows.samples[0])
    response = _octet_stream(bundle, values)
    response.headers[headers.AUDIO] = sha256
    used = describe_window(audio, windows, choice)
    response.headers[headers.WINDOW] = used.model_dump_json(exclude_none=True)
    response.headers[headers.SERVER_TIMING] = timer.header()
    return response


def _octet_stream(bundle: Bundle, values: Values) -> Response:
    described = {
        headers.SHAPE: ", ".join(map(str, values.shape)),
        headers.MODEL: bundle.card.name,
        headers.DIGEST: bundle.digest,
    }
    return Response(values.astype("<f4").tobytes(), headers=described, media_type=RAW)
