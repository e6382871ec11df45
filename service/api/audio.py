"""Embedding and task routes: embed, embed/batch, embeddings/{sha256}, classify, regress, analyze."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute

from models.audio.window_choice import WindowChoice
from service.api import render
from service.api.embed_batch import BatchResponse, BatchUpload
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
from service.inference.model import Model
from service.observability.context import StageTimer, current
from service.pipeline.model_request import ModelAnswer, ModelRequest, ModelResult
from service.pipeline.pipeline import Pipeline, note_outcomes, pipeline_of, raise_if_error
from service.schemas.headers import SERVER_TIMING
from service.schemas.queries import AnalyzeQuery, EmbedQuery, TaskQuery
from service.schemas.responses import Analysis, Classification, Embedding, Regression, Sha256
from service.transport.batch_upload import BatchFiles

router = APIRouter()


class EmbedRoute(APIRoute):
    """Route that calls its endpoint directly where the request has no query, as most have none.

    FastAPI's solving of the endpoint's parameters is a tenth of what a cached answer costs.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        solve_and_call, default_query = super().get_route_handler(), EmbedQuery()

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                return await solve_and_call(request)
            return await embed(request, default_query)

        return handle


async def embed(request: Request, query: Annotated[EmbedQuery, Query()]) -> Response:
    """The predicted collaborative-filtering embedding of this audio.

    With `Accept: application/octet-stream` the bare numbers, as little-endian float32.
    """
    pipeline = pipeline_of(request)
    model = pipeline.encoder(query.model)
    answer, timer = await _ask_one(request, pipeline, model, query.window)
    response = render.embedding_response(answer, request, features=query.features)
    response.headers[SERVER_TIMING] = timer.header()
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

    Lines come as files are done, in any order; a problem of one file is in the line of that file.
    """
    pipeline = pipeline_of(request)
    pipeline.check_open()
    batch = BatchUpload(
        pipeline,
        pipeline.encoder(query.model),
        WindowChoice.parse(query.window),
        query.features,
        BatchFiles(request, pipeline.settings, pipeline.upload_budget),
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
    """The cached answer for the audio with that SHA-256: ask before an upload."""
    pipeline = pipeline_of(request)
    model = pipeline.encoder(query.model)
    window = WindowChoice.parse(query.window)
    answer = await pipeline.look_up(sha256, window.text, model)
    if answer is None:
        raise NotRemembered("nothing is remembered of that audio, window and model", value=sha256)
    note_outcomes(current(), [model], [answer])
    return render.embedding_response(answer, request, features=query.features)


def _add_task_route(
    path: str,
    kind: Literal["classifier", "regressor"],
    body: Callable[..., Classification | Regression],
    *,
    name: str,
    description: str,
    response_model: type[Classification | Regression],
) -> None:
    """A route for every task of models of that kind."""

    async def answer_task(
        request: Request, response: Response, task: str, query: Annotated[TaskQuery, Query()]
    ) -> Classification | Regression:
        pipeline = pipeline_of(request)
        model = pipeline.models.for_task(kind, task, query.model)
        answer, timer = await _ask_one(request, pipeline, model, query.window)
        response.headers[SERVER_TIMING] = timer.header()
        return body(answer, vectors=query.vectors)

    router.add_api_route(
        path,
        answer_task,
        methods=["POST"],
        name=name,
        description=description,
        response_model=response_model,
        response_model_exclude_none=True,
        responses=TASK_PROBLEMS,
        openapi_extra=FILE_BODY,
        tags=["audio"],
    )


_add_task_route(
    "/classify/{task}",
    "classifier",
    render.classification,
    name="classify",
    description="Probability of every label, by a classifier of that task, in descending order.",
    response_model=Classification,
)
_add_task_route(
    "/regress/{task}",
    "regressor",
    render.regression,
    name="regress",
    description="Value of every target, by a regressor of that task.",
    response_model=Regression,
)


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
    """The answers of several models to one upload, which is decoded once.

    A model that fails has a `problem` in its place; the request fails only where every model does.
    """
    pipeline = pipeline_of(request)
    names = query.models or pipeline.models.loaded
    models = [pipeline.models.find(name) for name in names]
    results, timer = await _ask(request, pipeline, models, query.window)
    response.headers[SERVER_TIMING] = timer.header()
    return render.analysis(models, results, features=query.features, vectors=query.vectors)


async def _ask(
    request: Request, pipeline: Pipeline, models: Sequence[Model], window: str
) -> tuple[list[ModelResult], StageTimer]:
    """What each model answers to the request's upload, and the stages that it went through."""
    choice, context = WindowChoice.parse(window), current()
    asked = ModelRequest(tuple(models), choice, context.new_timer())
    results = await pipeline.receive_and_answer(request, asked)
    note_outcomes(context, models, results)
    return results, asked.timer


async def _ask_one(
    request: Request, pipeline: Pipeline, model: Model, window: str
) -> tuple[ModelAnswer, StageTimer]:
    (result,), timer = await _ask(request, pipeline, [model], window)
    return raise_if_error(result), timer
