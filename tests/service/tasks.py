"""A folder of models of every kind, and a service in this process whose work can be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import onnxruntime as ort

from models.audio.windows import Windows
from models.card import AudioInput
from service.app import create_app
from service.decoding.pool import DecodePool
from service.pipeline.pipeline import Pipeline
from service.settings import Settings
from tests.bundles import AUDIO, graph_bytes, write_bundle, write_head, write_task

LONG = AUDIO.model_copy(update={"window_s": 2.0})
# Of the mean level: golden sounds are quieter, `loud` ones are not.
LIMIT = 0.4


def write_models(folder: Path) -> Path:
    """Two encoders, two heads on one of them, and two classifiers with graphs of their own.

    The head `a-mood` comes before its encoder by name; `delicate` fails on loud audio.
    """
    levels = write_bundle(folder, "levels")
    write_bundle(folder, "long", audio=LONG)
    write_head(folder, "a-mood", levels.digest, on="features")
    write_head(folder, "feeling", levels.digest, "regressor", on="embedding", task="feeling")
    write_task(folder, "mood")
    delicate = graph_bytes(adds=("classifier", "embedding"), limit=LIMIT)
    write_task(folder, "delicate", task="delicate", content=delicate)
    return folder


@dataclass
class CountedSession:
    """A session that does what it does, and is counted."""

    name: str
    session: ort.InferenceSession
    runs: Counter[str]

    def run(self, *arguments: Any) -> Any:
        self.runs[self.name] += 1
        return self.session.run(*arguments)


class CountedPool(DecodePool):
    """Decoders whose jobs are counted by the window's length."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.decodings = Counter[float]()

    async def decode(
        self, path: Path, audio: AudioInput, window: str, part: slice | None = None
    ) -> Windows:
        self.decodings[audio.window_s] += 1
        return await super().decode(path, audio, window, part)


@dataclass
class Counted:
    """A service in this process, and how often it decoded and ran each model's session."""

    http: httpx.AsyncClient
    pipeline: Pipeline
    decodings: Counter[float]
    runs: Counter[str]

    async def answer(self, route: str, file: Path, **query: str | bool) -> dict[str, Any]:
        files = {"file": ("x", file.read_bytes())}
        response = await self.http.post(route, files=files, params=query)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@asynccontextmanager
async def counted(
    folder: Path, default_model: str = "levels", max_in_flight: int = 64
) -> AsyncIterator[Counted]:
    """The service over the models of `folder`."""
    settings = Settings(
        models_dir=folder,
        decode_workers=1,
        default_model=default_model,
        max_in_flight=max_in_flight,
    )
    app = create_app(settings)
    pipeline: Pipeline = app.state.pipeline
    decoders, runs = CountedPool(settings), Counter[str]()
    pipeline.decoders = decoders
    for name, model in pipeline.models.loaded.items():
        session = CountedSession(name, model.session, runs)
        pipeline.models.loaded[name] = replace(
            model, sessions=(session,) * model.n_workers, solo_session=None
        )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http,
    ):
        yield Counted(http, pipeline, decoders.decodings, runs)
