"""Operational endpoints: models, limits, health, readiness, metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse

from models.bundle import Bundle
from service.api.limits import Limits, limits_of
from service.api.openapi import problems
from service.errors import ModelRefused, Stopping, Unavailable, UnknownModel, UnknownParameter
from service.inference.registry import ModelRegistry
from service.observability.metrics import Metrics
from service.pipeline.pipeline import pipeline_of
from service.pipeline.probe import ReadinessProbe
from service.schemas.queries import NoQuery, ReadyQuery
from service.schemas.responses import Health, ModelCard, ModelList, Readiness, RefusedModel

router = APIRouter()


@router.get("/models", tags=["models"])
async def list_models(request: Request, query: Annotated[NoQuery, Query()]) -> ModelList:
    """Every model, loaded or not yet, and every refused bundle with the reason."""
    pipeline = pipeline_of(request)
    models = pipeline.models
    return ModelList(
        default=pipeline.settings.default_model,
        models=[_describe(bundle, models) for bundle in models.usable],
        refused=[RefusedModel(name=name, reason=reason) for name, reason in models.refused.items()],
    )


@router.get(
    "/models/{name}",
    responses=problems(
        (UnknownModel, ModelRefused), s404="Unknown model.", s503="The model's bundle was refused."
    ),
    tags=["models"],
)
async def show_model(request: Request, name: str, query: Annotated[NoQuery, Query()]) -> ModelCard:
    """One model: digest, kind, task, where it runs, and its card."""
    models = pipeline_of(request).models
    return _describe(models.find(name), models)


def _describe(bundle: Bundle, models: ModelRegistry) -> ModelCard:
    card, model = bundle.card, models.loaded.get(bundle.card.name)
    return ModelCard(
        name=card.name,
        version=card.version,
        digest=bundle.digest,
        kind=card.kind,
        task=card.task,
        space=card.space,
        loaded=model is not None,
        encoder=model.encoder.card.name if model and model.encoder else None,
        provider=model.provider if model else None,
        devices=model.devices if model else None,
        precision=model.precision if model else None,
        card=card,
    )


@router.get("/limits", tags=["operation"])
async def limits(request: Request, query: Annotated[NoQuery, Query()]) -> Limits:
    """The limits of this deployment."""
    return limits_of(pipeline_of(request).settings)


@router.get("/healthz", tags=["operation"])
async def healthz() -> Health:
    """Liveness: the process responds."""
    return Health(status="ok")


@router.get(
    "/readyz",
    response_model_exclude_none=True,
    responses=problems(
        (UnknownParameter, UnknownModel, Stopping, Unavailable),
        s400="Unknown query parameter.",
        s404="Unknown model.",
        s503="The probe failed, or the service is shutting down.",
    ),
    tags=["operation"],
)
async def readyz(request: Request, query: Annotated[ReadyQuery, Query()]) -> Readiness:
    """Readiness: a short sound passed a decoder and the queues of models in the last second."""
    probe: ReadinessProbe = request.app.state.probe
    return await probe.ready(query.model, details=request.app.open_paths is None)


@router.get("/metrics", response_class=PlainTextResponse, tags=["operation"])
async def metrics(request: Request) -> Response:
    """Metrics in Prometheus's text format."""
    registry: Metrics = request.app.state.metrics
    content, media_type = registry.exposition(request.headers.get("accept", ""))
    return Response(content, media_type=media_type)
