"""Readiness probe: fails while a model fails or hangs, else succeeds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import onnxruntime as ort

from service.app import create_app
from service.cores import cores
from service.pipeline.pipeline import Pipeline
from service.settings import Settings
from tests.bundles import AUDIO, write_bundle
from tests.running import DEADLINE_S, running
from tests.service.devices import on_two_devices
from tests.sounds import golden, write


@dataclass
class Moody:
    """A session that does what it does, raises, or hangs until it is let go."""

    session: ort.InferenceSession
    raises: bool = False
    goes_on: threading.Event = field(default_factory=threading.Event)

    def run(self, *arguments: Any) -> Any:
        assert self.goes_on.wait(DEADLINE_S)
        if self.raises:
            raise RuntimeError("on cue")
        return self.session.run(*arguments)


@asynccontextmanager
async def moody(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Moody, Path]]:
    write_bundle(folder / "models", "levels")
    clip = write(folder / "clip.wav", golden(2.0))
    app = create_app(
        Settings(
            models_dir=folder / "models",
            default_model="levels",
            decode_workers=1,
            infer_timeout_s=0.5,
            infer_threads=cores(),  # one run at a time
            cache_entries=0,
        )
    )
    pipeline: Pipeline = app.state.pipeline
    model = pipeline.models.loaded["levels"]
    session = Moody(model.session)
    session.goes_on.set()
    pipeline.models.loaded["levels"] = replace(model, sessions=(session,), solo_session=None)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http,
    ):
        yield http, session, clip
        session.goes_on.set()


async def embed(http: httpx.AsyncClient, clip: Path) -> int:
    return (await http.post("/embed", files={"file": clip.read_bytes()})).status_code


async def comes(http: httpx.AsyncClient, status: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (await http.get("/readyz")).status_code != status:
            await asyncio.sleep(0.02)


def test_a_model_that_raises_is_red_until_it_answers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with moody(tmp_path) as (http, session, clip):
            await comes(http, 200)
            session.raises = True
            assert await embed(http, clip) == 500
            await comes(http, 503)
            session.raises = False
            await comes(http, 200)
            assert await embed(http, clip) == 200

    asyncio.run(scenario())


def test_a_model_that_hangs_answers_its_waiters_and_is_red_until_it_goes_on(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with moody(tmp_path) as (http, session, clip):
            session.goes_on.clear()
            waiters = [asyncio.create_task(embed(http, clip)) for _ in range(3)]
            assert await asyncio.gather(*waiters) == [503] * 3
            late = await http.post("/embed", files={"file": clip.read_bytes()})
            assert late.status_code == 503
            assert "has not answered" in late.json()["detail"]  # who comes now does not even wait
            await comes(http, 503)
            session.goes_on.set()
            await comes(http, 200)
            assert await embed(http, clip) == 200

    asyncio.run(scenario())


def test_the_probe_succeeds_while_one_of_two_devices_hangs(tmp_path: Path) -> None:
    model, one, other = on_two_devices(tmp_path / "models")

    async def scenario() -> None:
        settings = Settings(models_dir=tmp_path / "models", default_model="levels")
        timings = {"decode_workers": 1, "infer_timeout_s": 0.5, "cache_entries": 0}
        app = create_app(settings.model_copy(update=timings))
        app.state.pipeline.models.loaded["levels"] = model
        clip = write(tmp_path / "clip.wav", golden(2.0))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://it") as http,
        ):
            assert (await http.get("/models/levels")).json()["devices"] == 2
            one.goes_on.clear()
            while not one.entered.is_set():
                await embed(http, clip)
            for _ in range(4):
                assert await embed(http, clip) == 200
            await comes(http, 200)
            other.goes_on.clear()
            await comes(http, 503)
            one.goes_on.set()
            other.goes_on.set()
            await comes(http, 200)

    asyncio.run(scenario())


def test_the_probe_is_as_long_as_the_models_want_it(tmp_path: Path) -> None:
    audio = AUDIO.model_copy(update={"min_audio_s": 2.5, "window_s": 3.0})
    write_bundle(tmp_path / "models", "levels", audio=audio)

    async def scenario() -> None:
        app = create_app(
            Settings(models_dir=tmp_path / "models", default_model="levels", decode_workers=1)
        )
        async with app.router.lifespan_context(app):
            assert (await app.state.probe.ready()).status == "ready"

    asyncio.run(scenario())


def test_a_proof_holds_for_a_moment(tmp_path: Path) -> None:
    write_bundle(tmp_path / "models", "levels")
    with running(
        tmp_path / "log", models_dir=tmp_path / "models", default_model="levels", decode_workers=1
    ) as service:
        first, second = (service.http.get("/readyz").json() for _ in range(2))
        assert first == second
        assert first["providers"] == {"levels": "CPUExecutionProvider"}
    with running(
        tmp_path / "log",
        models_dir=tmp_path / "models",
        default_model="levels",
        decode_workers=1,
        api_keys="a-key-of-sixteen-letters",
    ) as service:
        assert service.http.get("/readyz").json().keys() == {"status", "probe_ms"}
