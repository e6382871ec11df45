"""Dependencies of the routes."""

from __future__ import annotations

from fastapi import Request

from service.inference.session import Model
from service.pipeline.pipeline import Pipeline
from service.schemas.queries import EmbedQuery


def pipeline_of(request: Request) -> Pipeline:
    pipeline: Pipeline = request.app.state.pipeline
    return pipeline


def encoder(request: Request, query: EmbedQuery) -> Model:
    """The model that is asked for, else the service's default.

    Raises
    ------
    UnknownModel
    """
    pipeline = pipeline_of(request)
    return pipeline.models.find(query.model or pipeline.settings.default_model)
