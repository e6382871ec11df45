"""Bundles that are not default, and a service in this process whose later loadings wait on cue."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from models.bundle import CARD, Bundle, read
from service.app import create_app
from service.inference.loader import ModelLoader
from service.inference.model import Model
from service.pipeline.pipeline import Pipeline
from service.settings import Settings
from tests.running import DEADLINE_S


def on_demand(bundle: Bundle) -> Bundle:
    """The bundle with a card that does not mark it as default."""
    card = bundle.card.model_copy(update={"default": False})
    (bundle.folder / CARD).write_text(card.model_dump_json(indent=2) + "\n")
    return read(bundle.folder)


@dataclass
class Loadings:
    """Names of the bundles that were loaded after the start; a loading waits for `goes_on`."""

    names: list[str] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def watch(cls, monkeypatch: pytest.MonkeyPatch) -> Loadings:
        loadings, load_later = cls(), ModelLoader.load_later
        loadings.goes_on.set()

        def load(loader: ModelLoader, bundle: Bundle, encoder: Model | None) -> Model:
            loadings.names.append(bundle.card.name)
            loadings.entered.set()
            assert loadings.goes_on.wait(DEADLINE_S)
            return load_later(loader, bundle, encoder)

        monkeypatch.setattr(ModelLoader, "load_later", load)
        return loadings


@dataclass
class Here:
    """A service in this process."""

    http: httpx.AsyncClient
    pipeline: Pipeline

    async def post(self, route: str, file: Path, **query: str) -> httpx.Response:
        return await self.http.post(route, files={"file": file.read_bytes()}, params=query or None)

    async def listed(self) -> dict[str, bool]:
        """Whether each model of `GET /models` is loaded."""
        found = (await self.http.get("/models")).json()["models"]
        return {model["name"]: model["loaded"] for model in found}


@asynccontextmanager
async def serving(folder: Path, **settings: object) -> AsyncIterator[Here]:
    """The service over the bundles of `folder`."""
    app = create_app(
        Settings.model_validate({"models_dir": folder, "decode_workers": 1} | settings)
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as http,
    ):
        yield Here(http, app.state.pipeline)
