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
)
from service.metrics import Metrics
from service.openapi import FILE_BODY, FILE_PROBLEMS, TASK_PROBLEMS, problems
from service.pipeline import Answered, Asked, Pipeline
from service.queries import AnalyzeQuery, EmbedQuery, NoQuery, TaskQuery
from service.ready import Probe
from service.seen import current
from service.session import Model

router = APIRouter()


def pipeline_of(request: Request) -> Pipeline:
    pipeline: Pipeline = request.app.state.pipeline
    return pipeline


@router.post(
    "/embed",
    response_model_exclude_none=True,
    responses=FILE_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["audio"],
)
async def embed(
    request: Request, response: Response, query: Annotated[EmbedQuery, Query()]
) -> Embedding:
    """Where listeners would put this audio: the predicted collaborative-filtering embedding."""
    pipeline = pipeline_of(request)
    model = pipeline.models.find(query.model or pipeline.settings.default_model)
    answered = await _ask_one(request, response, model, query.window)
    return respond.embedding(answered, features=query.features)


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
    answered = await _ask_one(request, response, model, query.window)
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
    answered = await _ask_one(request, response, model, query.window)
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
    results = await _ask(request, response, models, query.window)
    return respond.analysis(models, results, features=query.features, vectors=query.vectors)


async def _ask(
    request: Request, response: Response, models: Sequence[Model], window: str
) -> list[Answered | TasteprintError]:
    timing = current().timing()
    asked = Asked(tuple(models), WindowChoice.parse(window), timing)
    results = await pipeline_of(request).answer(request, asked)
    response.headers["Server-Timing"] = timing.header()
    current().answered(models, results)
    return results


async def _ask_one(request: Request, response: Response, model: Model, window: str) -> Answered:
    (result,) = await _ask(request, response, [model], window)
    if isinstance(result, TasteprintError):
        raise result
    return result


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


@router.get("/healthz", tags=["operation"])
async def healthz() -> Health:
    """The process is alive; nothing else is asked."""
    return Health(status="ok")


@router.get("/readyz", responses=problems(s503="The probe failed."), tags=["operation"])
async def readyz(request: Request) -> Readiness:
    """A probe just went through a real decoder and every model's real queue."""
    probe: Probe = request.app.state.probe
    return await probe.ready()


@router.get("/metrics", response_class=PlainTextResponse, tags=["operation"])
async def metrics(request: Request) -> Response:
    """What is counted and measured, for Prometheus."""
    own: Metrics = request.app.state.metrics
    content, media_type = own.exposition(request.headers.get("accept", ""))
    return Response(content, media_type=media_type)
