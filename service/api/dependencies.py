"""What routes depend on: the pipeline of their application, and the encoder that a query names."""

from __future__ import annotations

from fastapi import Request

from service.inference.model import Model
from service.pipeline.pipeline import Pipeline


def pipeline_of(request: Request) -> Pipeline:
    """The pipeline of the application that serves the request."""
    pipeline: Pipeline = request.app.state.pipeline
    return pipeline


def encoder_of(request: Request, name: str | None) -> tuple[Pipeline, Model]:
    """The pipeline, and its model of that name or by default.

    Raises
    ------
    UnknownModel
    """
    pipeline = pipeline_of(request)
    return pipeline, pipeline.models.find(name or pipeline.settings.default_model)
