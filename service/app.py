"""The application: `create_app(Settings(...))`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from service import problems, sandbox
from service.load import load_models
from service.pipeline import Pipeline
from service.ready import Probe
from service.routes import router
from service.settings import Settings, from_environment

WEB = Path(__file__).parent / "web"


def create_app(settings: Settings | None = None) -> FastAPI:
    """Load the models and make the application; processes and connections start with it.

    Raises
    ------
    CannotStart
    """
    settings = settings or from_environment()
    sandbox.check(required=settings.require_sandbox)
    pipeline = Pipeline(settings, load_models(settings))
    probe = Probe(pipeline)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await pipeline.start()
            yield
        finally:
            await probe.close()
            await pipeline.close()

    app = FastAPI(
        title="Tasteprint",
        summary="Hears what listeners would do with a song, and what else its models know of it.",
        version=_version(),
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load from a CDN
        redoc_url=None,
    )
    app.state.pipeline, app.state.probe = pipeline, probe
    problems.install(app)
    app.include_router(router)
    for path in ("/", "/docs"):
        app.get(path, include_in_schema=False)(_docs)
    return app


async def _docs() -> HTMLResponse:
    """A page of our own that renders /openapi.json, without anything from elsewhere."""
    return HTMLResponse((WEB / "docs.html").read_text())


def _version() -> str:
    try:
        return version("tasteprint")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
