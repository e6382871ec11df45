"""Application factory: `create_app(Settings(...))` returns the FastAPI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI

from service import problems
from service.api import catalogue as catalogue_routes
from service.api import listeners, operations, similar, spectrogram
from service.api.audio import router
from service.api.openapi import state_keys
from service.api.web import read_web_files, web_router
from service.catalogue.store import CatalogueStore
from service.decoding import sandbox
from service.inference.registry import load_models
from service.inference.spectrogram import SpectrogramSessions
from service.middleware import auth
from service.middleware.request import RequestMiddleware
from service.observability.metrics import Metrics
from service.observability.request_recorder import RequestRecorder, RouteTemplates
from service.observability.tracing import open_span_exporter
from service.pipeline.gauges import QueueGauges
from service.pipeline.pipeline import Pipeline
from service.pipeline.probe import ReadinessProbe
from service.settings import Settings, from_environment


class Application(FastAPI):
    """FastAPI application with security schemes in its OpenAPI document.

    Attributes
    ----------
    open_paths : paths that require no key; None if no path requires one
    """

    open_paths: frozenset[str] | None = None

    def openapi(self) -> dict[str, Any]:
        api = super().openapi()
        if self.open_paths is not None and "security" not in api:
            state_keys(api, self.open_paths)
        return api


def create_app(settings: Settings | None = None) -> FastAPI:
    """Load the models and create the application; its lifespan starts processes and connections.

    Raises
    ------
    CannotStart
    """
    settings = settings or from_environment()
    sandbox.check(required=settings.require_sandbox)
    metrics, span_exporter = Metrics(_version()), open_span_exporter(settings, _version())
    models = load_models(settings)
    catalogue = CatalogueStore(settings, models.bundles)
    pipeline = Pipeline(settings, models, metrics)
    pipeline.reloader.prepare = catalogue.prepare
    metrics.watch(QueueGauges(pipeline, metrics.running))
    probe = ReadinessProbe(pipeline)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await pipeline.start()
            metrics.ready()
            yield
        finally:
            await probe.close()
            await catalogue.close()
            await pipeline.close()
            if span_exporter is not None:
                await span_exporter.close()

    app = Application(
        title="Tasteprint",
        summary="Predicts a song's collaborative-filtering embedding from its sound.",
        version=_version(),
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load from a CDN
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat whatever host the client names
    )
    app.state.pipeline, app.state.probe, app.state.metrics = pipeline, probe, metrics
    app.state.catalogue, app.state.spectrograms = catalogue, SpectrogramSessions()
    problems.install(app)
    web_files = read_web_files()
    routers = (
        router,
        similar.router,
        listeners.router,
        catalogue_routes.router,
        spectrogram.router,
        operations.router,
        web_router(web_files),
    )
    for part in routers:
        app.include_router(part)
    app.open_paths = auth.install(app, settings, frozenset(web_files))
    templates = RouteTemplates([*app.routes, *(route for own in routers for route in own.routes)])
    # Outside FastAPI's own middleware too, so that its 500 has a request ID and is counted.
    app.middleware_stack = RequestMiddleware(
        app.build_middleware_stack(),
        RequestRecorder(metrics, span_exporter, templates),
        private=app.open_paths is not None,
    )
    return app


def _version() -> str:
    try:
        return version("tasteprint")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
