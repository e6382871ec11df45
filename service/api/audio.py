"""Embedding and task routes: embed, embed/batch, embeddings/{sha}, classify, regress, analyze."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute

from models.audio.window_choice import WindowChoice
from models.card import Kind
from service.api import render
from service.api.embed_batch import BatchResponse, BatchUpload
from service.api.openapi import (
    BATCH_LINES,
    BATCH_PROBLEMS,
    CACHED_PROBLEMS,
    EMBED_PROBLEMS,
    FILE_BODY,
    FILE_PROBLEMS,
    FILES_BODY,
    TASK_PROBLEMS,
    VECTORS,
)
from service.errors import NotRemembered, UnknownModel
from service.inference.model import Model
from service.observability.context import StageTimer, current
from service.pipeline.model_request import ModelAnswer, ModelRequest, ModelResult
from service.pipeline.pipeline import Pipeline, note_outcomes, pipeline_of, raise_if_error
from service.schemas.headers import SERVER_TIMING
from service.schemas.queries import AnalyzeQuery, ClassifyQuery, EmbedQuery, TaskQuery
from service.schemas.responses import Analysis, AnySha256, Classification, Embedding, Regression
from service.transport.batch_upload import BatchFiles

router = APIRouter()


class EmbedRoute(APIRoute):
    """Route that calls its endpoint directly if the request has no query, as most requests.

    FastAPI's dependency solving would be a tenth of the cost of a cached answer.
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
    model = await pipeline.encoder(query.model, query.space)
    answer, timer = await run_one(request, pipeline, model, query.window, levels=query.levels)
    response = render.embedding_response(
        answer, request, features=query.features, levels=query.levels
    )
    response.headers[SERVER_TIMING] = timer.header()
    return response


router.add_api_route(
    "/embed",
    embed,
    methods=["POST"],
    response_model=Embedding,
    responses=VECTORS | EMBED_PROBLEMS,
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
    """Many files in one request, each a multipart part with a file name: one line of JSON per file.

    Lines are sent as files are done, in any order; the problem of a file is in its line.
    """
    pipeline = pipeline_of(request)
    pipeline.check_open()
    batch = BatchUpload(
        pipeline,
        await pipeline.encoder(query.model, query.space),
        WindowChoice.parse(query.window),
        query.features,
        query.levels,
        BatchFiles(request, pipeline.settings, pipeline.upload_budget),
        current(),
    )
    return BatchResponse(batch, request)


@router.get(
    "/embeddings/{sha256}",
    response_model=Embedding,
    responses=VECTORS | CACHED_PROBLEMS,
    tags=["audio"],
)
async def remembered(
    request: Request, sha256: AnySha256, query: Annotated[EmbedQuery, Query()]
) -> Response:
    """The cached answer for the audio with this SHA-256: look up before uploading."""
    pipeline = pipeline_of(request)
    model = await pipeline.encoder(query.model, query.space)
    window = WindowChoice.parse(query.window)
    answer = await pipeline.look_up(sha256, window.text, model, levels=query.levels)
    if answer is None:
        raise NotRemembered(
            f"no cached answer{' with levels' * query.levels} for this audio, window and model",
            value=sha256,
            remedy="upload the audio: POST /embed?levels=true" if query.levels else None,
        )
    note_outcomes(current(), [model], [answer])
    return render.embedding_response(answer, request, features=query.features, levels=query.levels)


@router.post(
    "/classify/{task}",
    response_model_exclude_none=True,
    responses=TASK_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["audio"],
)
async def classify(
    request: Request, response: Response, task: str, query: Annotated[ClassifyQuery, Query()]
) -> Classification:
    """Probability of every label, by a classifier of that task, in descending order.

    With `threshold`, labels with a lower probability are left out.
    """
    answer = await _run_task(request, response, "classifier", task, query)
    return render.classification(answer, vectors=query.vectors, threshold=query.threshold)


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
    """Value of every target, by a regressor of that task."""
    answer = await _run_task(request, response, "regressor", task, query)
    return render.regression(answer, vectors=query.vectors)


async def _run_task(
    request: Request, response: Response, kind: Kind, task: str, query: TaskQuery
) -> ModelAnswer:
    """Run the model of that task on the request's upload; sets the response's `Server-Timing`."""
    pipeline = pipeline_of(request)
    model = await pipeline.load(pipeline.models.for_task(kind, task, query.model))
    answer, timer = await run_one(request, pipeline, model, query.window)
    response.headers[SERVER_TIMING] = timer.header()
    return answer


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
    """The answers of several models, by default of the default ones, to one upload.

    The upload is decoded once.

    A failed model has a `problem` in place of its answer; the request fails only if all models do.
    Classifiers answer with every label: a `threshold` is a parameter of `/classify/{task}` alone.
    """
    pipeline = pipeline_of(request)
    models = await _load(pipeline, query.models)
    results, timer = await _run(request, pipeline, models, query.window)
    response.headers[SERVER_TIMING] = timer.header()
    return render.analysis(models, results, features=query.features, vectors=query.vectors)


async def _load(pipeline: Pipeline, names: Sequence[str]) -> list[Model]:
    """The models of these names; without names, the default models."""
    bundles = [pipeline.models.find(name) for name in names]  # an unknown name loads none of them
    models = [await pipeline.load(bundle) for bundle in bundles] or pipeline.models.defaults
    if not models:
        raise UnknownModel(
            "no default model is loaded",
            limit=", ".join(bundle.card.name for bundle in pipeline.models.usable),
            remedy="name the models: /analyze?models=…; GET /models lists them",
        )
    return models


async def _run(
    request: Request,
    pipeline: Pipeline,
    models: Sequence[Model],
    window: str,
    *,
    levels: bool = False,
) -> tuple[list[ModelResult], StageTimer]:
    """Run models on the request's upload; each model's result, and the stage timings."""
    choice, context = WindowChoice.parse(window), current()
    model_request = ModelRequest(tuple(models), choice, context.new_timer(), levels=levels)
    results = await pipeline.receive_and_answer(request, model_request)
    note_outcomes(context, models, results)
    return results, model_request.timer


async def run_one(
    request: Request, pipeline: Pipeline, model: Model, window: str, *, levels: bool = False
) -> tuple[ModelAnswer, StageTimer]:
    """Run a model on the request's upload; its answer, and the stage timings.

    Raises
    ------
    TasteprintError
    """
    (result,), timer = await _run(request, pipeline, [model], window, levels=levels)
    return raise_if_error(result), timer
