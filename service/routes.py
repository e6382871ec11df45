"""The routes: what is read from a request, and what is said of the answer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.window import WindowChoice
from service.answers import (
    Embedding,
    Health,
    ModelCard,
    ModelList,
    Problem,
    Readiness,
    RefusedModel,
)
from service.pipeline import Asked, Pipeline
from service.problems import MEDIA_TYPE
from service.ready import Probe
from service.session import Model
from service.timing import Timing

router = APIRouter()


def problems(**reasons: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of problem answers: `problems(s404="Unknown model.")`."""
    schema = {"schema": Problem.model_json_schema()}
    return {
        int(status[1:]): {"description": reason, "content": {MEDIA_TYPE: schema}}
        for status, reason in reasons.items()
    }


BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE_BODY = {
    "requestBody": {
        "required": True,
        "description": "One audio file: MP3, FLAC, Ogg Vorbis, Opus, M4A/AAC, WAV, AIFF or WebM.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "audio/*": BINARY,
            "application/octet-stream": BINARY,
        },
    }
}
EMBED_PROBLEMS = problems(
    s400="Bad upload (no file, wrong field, several files, malformed) or unknown query parameter.",
    s404="Unknown model; the models there are are named.",
    s408="The upload stalled.",
    s413="The file is larger than the limit; answered while it streams.",
    s415="Not audio, or a content type that is not read.",
    s422="Unusable audio (empty, truncated, silent, too short, …) or an invalid parameter.",
    s429="Too busy; Retry-After states when to try again.",
    s500="The model failed on this audio.",
    s503="A decoder or a model was lost; Retry-After states when to try again.",
)


class NoQuery(BaseModel):
    """Routes without parameters refuse what they would ignore."""

    model_config = ConfigDict(extra="forbid")


class EmbedQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(
        default=None, description="One of GET /models; by default the service's own."
    )
    window: str = Field(
        default="middle",
        description="`middle`, `start`, `all` (mean over consecutive windows), or an offset in s.",
    )
    features: bool = Field(default=True, description="`false` leaves the penultimate layer out.")

    @field_validator("window")
    @classmethod
    def _is_a_window(cls, text: str) -> str:
        WindowChoice.parse(text)
        return text


def pipeline_of(request: Request) -> Pipeline:
    pipeline: Pipeline = request.app.state.pipeline
    return pipeline


@router.post(
    "/embed",
    response_model_exclude_none=True,
    responses=EMBED_PROBLEMS,
    openapi_extra=FILE_BODY,
    tags=["audio"],
)
async def embed(
    request: Request, response: Response, query: Annotated[EmbedQuery, Query()]
) -> Embedding:
    """Where listeners would put this audio: the predicted collaborative-filtering embedding."""
    pipeline = pipeline_of(request)
    model = pipeline.models.find(query.model or pipeline.settings.default_model)
    timing = Timing()
    answer = await pipeline.embed(request, Asked(model, WindowChoice.parse(query.window), timing))
    response.headers["Server-Timing"] = timing.header()
    return answer if query.features else answer.model_copy(update={"features": None})


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
    """One model: its digest, where it runs, and its card."""
    return _describe(pipeline_of(request).models.find(name))


def _describe(model: Model) -> ModelCard:
    card = model.card
    return ModelCard(
        name=card.name,
        version=card.version,
        digest=model.bundle.digest,
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
