"""The routes: what is read from a request, and which answer is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse

from models.errors import TasteprintError
from models.window import WindowChoice
from service import respond
from service.answers import (
    Analysis,
    Classification,
    Embedding,
    Health,
    ModelCard,
    ModelList,
    Readiness,
    RefusedModel,
    Regression,
    Sha256,
)
from service.errors import NotRemembered
from service.limits import Limits, limits_of
from service.many import Batch, BatchResponse, Files
from service.metrics import Metrics
from service.openapi import (
    BATCH_LINES,
    FILE_BODY,
    FILE_PROBLEMS,
    FILES_BODY,
    REMEMBERED_PROBLEMS,
    TASK_PROBLEMS,
    VECTORS,
    problems,
)
from service.pipeline import Answered, Asked, Pipeline, own
from service.queries import AnalyzeQuery, EmbedQuery, NoQuery, TaskQuery
from service.ready import Probe
from service.seen import current
from service.session import Model
from service.timing import Timing

router = APIRouter()


def pipeline_of(request: Request) -> Pipeline:
    pipeline: Pipeline = request.app.state.pipeline
    return pipeline


@router.post(
    "/embed",
    response_model=Embedding,
    responses=VECTORS | FILE_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["audio"],
)
async def embed(request: Request, query: Annotated[EmbedQuery, Query()]) -> Response:
    """Where listeners would put this audio: the predicted collaborative-filtering embedding.

    With `Accept: application/octet-stream` the numbers alone, as little-endian float32.
    """
    answered, timing = await _ask_one(request, encoder(request, query), query.window)
    response = respond.embedded(answered, request, features=query.features)
    response.headers["Server-Timing"] = timing.header()
    return response


@router.post(
    "/embed/batch",
    response_class=Response,
    responses=BATCH_LINES | FILE_PROBLEMS,
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
    return respond.embedded(known, request, features=query.features)


def encoder(request: Request, query: EmbedQuery) -> Model:
    """The model that is asked for, else the service's default.

    Raises
    ------
    UnknownModel
    """
    pipeline = pipeline_of(request)
    return pipeline.models.find(query.model or pipeline.settings.default_model)


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
    return respond.classification(answered, vectors=query.vectors)


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
    return respond.regression(answered, vectors=query.vectors)


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
    return respond.analysis(models, results, features=query.features, vectors=query.vectors)


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


@router.get("/models", tags=["models"])
async def list_models(request: Request, query: Annotated[NoQuery, Query()]) -> ModelList:
    """Every loaded model, and every bundle that was refused with the reason."""
    models = pipeline_of(request).models
    return ModelList(
        models=[_describe(model) for model in models.loaded.values()],
        refused=[RefusedModel(name=name, reason=why) for name, why in models.refused.items()],
    )


@router.get("/models/{name}", responses=problems(s404="Unknown model."), tags=["models"])
async def show_model(request: Request, name: str, query: Annotated[NoQuery, Query()]) -> ModelCard:
    """One model: its digest, what it does, where it runs, and its card."""
    return _describe(pipeline_of(request).models.find(name))


def _describe(model: Model) -> ModelCard:
    card = model.card
    return ModelCard(
        name=card.name,
        version=card.version,
        digest=model.bundle.digest,
        kind=card.kind,
        task=card.task,
        encoder=model.encoder.card.name if model.encoder else None,
        provider=model.provider,
        card=card,
    )


@router.get("/limits", tags=["operation"])
async def limits(request: Request, query: Annotated[NoQuery, Query()]) -> Limits:
    """What a client may send, and how much of it at a time."""
    return limits_of(pipeline_of(request).settings)


@router.get("/healthz", tags=["operation"])
async def healthz() -> Health:
    """The process is alive; nothing else is asked."""
    return Health(status="ok")


@router.get(
    "/readyz",
    response_model_exclude_none=True,
    responses=problems(s503="The probe failed, or the service is ending."),
    tags=["operation"],
)
async def readyz(request: Request) -> Readiness:
    """Within the last second a probe went through a real decoder and every model's real queue."""
    probe: Probe = request.app.state.probe
    return await probe.ready(details=request.app.open_paths is None)


@router.get("/metrics", response_class=PlainTextResponse, tags=["operation"])
async def metrics(request: Request) -> Response:
    """What is counted and measured, for Prometheus."""
    own: Metrics = request.app.state.metrics
    content, media_type = own.exposition(request.headers.get("accept", ""))
    return Response(content, media_type=media_type)
