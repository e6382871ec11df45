"""The routes of audio: what is read from a request, and which answer is given."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute

from models.audio.window_choice import WindowChoice
from models.errors import TasteprintError
from service.api import render
from service.api.dependencies import encoder, pipeline_of
from service.api.embed_batch import Batch, BatchResponse
from service.api.openapi import (
    BATCH_LINES,
    BATCH_PROBLEMS,
    FILE_BODY,
    FILE_PROBLEMS,
    FILES_BODY,
    REMEMBERED_PROBLEMS,
    TASK_PROBLEMS,
    VECTORS,
)
from service.errors import NotRemembered
from service.inference.session import Model
from service.observability.context import Timing, current
from service.pipeline.pipeline import Answered, Asked, own
from service.schemas.queries import AnalyzeQuery, EmbedQuery, TaskQuery
from service.schemas.responses import (
    Analysis,
    Classification,
    Embedding,
    Regression,
    Sha256,
)
from service.transport.batch_upload import Files

router = APIRouter()


class EmbedRoute(APIRoute):
    """Goes straight to the endpoint where the request has no query, as most have none.

    FastAPI reads one by the endpoint's signature: a tenth of what a remembered answer costs.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        of_any, of_none = super().get_route_handler(), EmbedQuery()

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                return await of_any(request)
            return await embed(request, of_none)

        return handle


async def embed(request: Request, query: Annotated[EmbedQuery, Query()]) -> Response:
    """Where listeners would put this audio: the predicted collaborative-filtering embedding.

    With `Accept: application/octet-stream` the numbers alone, as little-endian float32.
    """
    answered, timing = await _ask_one(request, encoder(request, query), query.window)
    response = render.embedded(answered, request, features=query.features)
    response.headers["Server-Timing"] = timing.header()
    return response


router.add_api_route(
    "/embed",
    embed,
    methods=["POST"],
    response_model=Embedding,
    responses=VECTORS | FILE_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["audio"],
    route_class_override=EmbedRoute,
)


@router.post(
    "/embed/batch",
    response_class=Response,
    responses=BATCH_LINES | BATCH_PROBLEMS,
    openapi_extra=FILES_BODY,
    tags=["audio"],
)
async def embed_batch(request: Request, query: Annotated[EmbedQuery, Query()]) -> Response:
    """Many files in one request, each a multipart part named `file`: a line of JSON for each.

    Lines come as files are done, in any order; what is wrong with one file is in its line.
    """
    pipeline = pipeline_of(request)
    pipeline.check_open()
    batch = Batch(
        pipeline,
        encoder(request, query),
        WindowChoice.parse(query.window),
        query.features,
        Files(request, pipeline.settings, pipeline.held),
        current(),
    )
    return BatchResponse(batch, request)


@router.get(
    "/embeddings/{sha256}",
    response_model=Embedding,
    responses=VECTORS | REMEMBERED_PROBLEMS,
    tags=["audio"],
)
async def remembered(
    request: Request, sha256: Sha256, query: Annotated[EmbedQuery, Query()]
) -> Response:
    """What is remembered of the audio with that SHA-256: ask before uploading it."""
    model = encoder(request, query)
    window = str(WindowChoice.parse(query.window))
    known = await pipeline_of(request).remembered(sha256, window, model)
    if known is None:
        raise NotRemembered("nothing is remembered of that audio, window and model", value=sha256)
    current().answered([model], [known])
    return render.embedded(known, request, features=query.features)


@router.post(
    "/classify/{task}",
    response_model_exclude_none=True,
    responses=TASK_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["audio"],
)
async def classify(
    request: Request, response: Response, task: str, query: Annotated[TaskQuery, Query()]
) -> Classification:
    """What this audio is: every label of a classifier of that task, the most probable first."""
    model = pipeline_of(request).models.for_task("classifier", task, query.model)
    answered, timing = await _ask_one(request, model, query.window)
    response.headers["Server-Timing"] = timing.header()
    return render.classification(answered, vectors=query.vectors)


@router.post(
    "/regress/{task}",
    response_model_exclude_none=True,
    responses=TASK_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["audio"],
)
async def regress(
    request: Request, response: Response, task: str, query: Annotated[TaskQuery, Query()]
) -> Regression:
    """How much of each target this audio has, by a regressor of that task."""
    model = pipeline_of(request).models.for_task("regressor", task, query.model)
    answered, timing = await _ask_one(request, model, query.window)
    response.headers["Server-Timing"] = timing.header()
    return render.regression(answered, vectors=query.vectors)


@router.post(
    "/analyze",
    response_model_exclude_none=True,
    responses=FILE_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["audio"],
)
async def analyze(
    request: Request, response: Response, query: Annotated[AnalyzeQuery, Query()]
) -> Analysis:
    """Every model's answer to one upload, decoded once; a model that fails has its problem there.

    The status is that of a problem only where no model answered.
    """
    there = pipeline_of(request).models
    models = [there.find(name) for name in query.models or there.loaded]
    results, timing = await _ask(request, models, query.window)
    response.headers["Server-Timing"] = timing.header()
    return render.analysis(models, results, features=query.features, vectors=query.vectors)


async def _ask(
    request: Request, models: Sequence[Model], window: str
) -> tuple[list[Answered | TasteprintError], Timing]:
    timing = current().timing()
    asked = Asked(tuple(models), WindowChoice.parse(window), timing)
    results = await pipeline_of(request).answer(request, asked)
    current().answered(models, results)
    return results, timing


async def _ask_one(request: Request, model: Model, window: str) -> tuple[Answered, Timing]:
    (result,), timing = await _ask(request, [model], window)
    return own(result), timing
