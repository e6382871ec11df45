"""Application factory: `create_app(Settings(...))` returns the FastAPI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from service import problems
from service.api import operations
from service.api.audio import router
from service.api.docs import docs_page
from service.api.openapi import state_keys
from service.decoding import sandbox
from service.inference.registry import load_models
from service.middleware import auth
from service.middleware.request import RequestMiddleware
from service.observability.metrics import Metrics
from service.observability.request_recorder import RequestRecorder, RouteTemplates
from service.observability.tracing import open_traces
from service.pipeline.gauges import QueueGauges
from service.pipeline.pipeline import Pipeline
from service.pipeline.probe import Probe
from service.settings import Settings, from_environment


class Application(FastAPI):
    """FastAPI, whose OpenAPI document states the API keys.

    Attributes
    ----------
    open_paths : the paths that ask for no key; None where no path does
    """

    open_paths: frozenset[str] | None = None

    def openapi(self) -> dict[str, Any]:
        api = super().openapi()
        if self.open_paths is not None and "security" not in api:
            state_keys(api, self.open_paths)
        return api


def create_app(settings: Settings | None = None) -> FastAPI:
    """Load the models and make the application; processes and connections start with it.

    Raises
    ------
    CannotStart
    """
    settings = settings or from_environment()
    sandbox.check(required=settings.require_sandbox)
    metrics, traces = Metrics(_version()), open_traces(settings, _version())
    pipeline = Pipeline(settings, load_models(settings), metrics)
    metrics.watch(pipeline.models.loaded, QueueGauges(pipeline, metrics.running))
    probe = Probe(pipeline)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await pipeline.start()
            metrics.ready()
            yield
        finally:
            await probe.close()
            await pipeline.close()
            if traces is not None:
                await traces.close()

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
    problems.install(app)
    app.include_router(router)
    app.include_router(operations.router)
    page = docs_page()

    async def docs() -> HTMLResponse:
        """A page of our own that renders /openapi.json, without anything from elsewhere."""
        return page

    for path in ("/", "/docs"):
        app.get(path, include_in_schema=False)(docs)
    app.open_paths = auth.install(app, settings)
    templates = RouteTemplates([*app.routes, *router.routes, *operations.router.routes])
    # Around FastAPI's own middleware too: its answer to a bug has a request ID and is counted.
    app.middleware_stack = RequestMiddleware(
        app.build_middleware_stack(),
        RequestRecorder(metrics, traces, templates),
        private=app.open_paths is not None,
    )
    return app


def _version() -> str:
    try:
        return version("tasteprint")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
