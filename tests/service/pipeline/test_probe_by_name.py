"""`/readyz` depends on the default models; `/readyz?model=` probes any model apart from them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import AUDIO, graph_bytes, write_bundle, write_head
from tests.service.devices import Device
from tests.service.on_demand import Loadings, on_demand, serving
from tests.service.test_bad_input import assert_problem

KEY = "a-key-of-sixteen-letters"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A default encoder, one that is not, and a third that onnxruntime cannot load."""
    write_bundle(tmp_path, "levels")
    on_demand(write_bundle(tmp_path, "later", graph_bytes(root="Exp")))
    on_demand(write_bundle(tmp_path, "broken", b"no ONNX"))
    return tmp_path


def test_readiness_loads_and_states_only_default_models(folder: Path) -> None:
    async def scenario() -> None:
        async with serving(folder) as here:
            ready = (await here.http.get("/readyz")).json()
            assert ready["providers"].keys() == {"levels"}
            assert await here.listed() == {"broken": False, "later": False, "levels": True}

    asyncio.run(scenario())


def test_a_model_is_probed_by_name_after_it_is_loaded(folder: Path) -> None:
    async def scenario() -> None:
        async with serving(folder) as here:
            for _ in range(2):  # the second answer is the first one's, which is still valid
                response = await here.http.get("/readyz", params={"model": "later"})
                assert response.status_code == 200
                assert response.json()["providers"].keys() == {"later"}
            assert (await here.listed())["later"] is True
            assert (await here.http.head("/readyz?model=later")).status_code == 200
            unknown = await here.http.get("/readyz", params={"model": "other"})
            assert assert_problem(unknown, 404, "unknown-model")["limit"] == "broken, later, levels"

    asyncio.run(scenario())


def test_an_unknown_parameter_is_refused_and_nothing_is_probed(folder: Path) -> None:
    async def scenario() -> None:
        async with serving(folder) as here:
            refused = await here.http.get("/readyz", params={"modle": "later"})
            problem = assert_problem(refused, 400, "unknown-parameter")
            assert (problem["value"], problem["limit"]) == ("modle", "model")
            assert (await here.http.head("/readyz?modle=later")).status_code == 400
            assert await here.listed() == {"broken": False, "later": False, "levels": True}

    asyncio.run(scenario())


def test_a_bundle_that_cannot_be_loaded_is_not_ready_and_the_service_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loadings = Loadings.watch(monkeypatch)

    async def scenario() -> None:
        async with serving(folder) as here:
            for _ in range(2):
                broken = await here.http.get("/readyz", params={"model": "broken"})
                problem = assert_problem(broken, 503, "unavailable")
                assert "ModelRefused" in problem["detail"]
                assert (await here.http.get("/readyz")).status_code == 200
            assert loadings.names == ["broken"]

    asyncio.run(scenario())


def test_a_model_that_fails_is_not_ready_by_name_and_the_service_is(folder: Path) -> None:
    async def scenario() -> None:
        async with serving(folder) as here:
            pipeline = here.pipeline
            model = await pipeline.load(pipeline.models.find("later"))
            device: Any = Device(model.session, raises=True)
            failing = replace(model, sessions=(device,) * model.n_workers, solo_session=None)
            await pipeline.batchers["later"].close()
            pipeline._start_batcher(failing)
            failed = await here.http.get("/readyz", params={"model": "later"})
            assert_problem(failed, 503, "unavailable")
            assert (await here.http.get("/readyz")).status_code == 200
            device.raises = False
            assert (await here.http.get("/readyz?model=later")).status_code == 200

    asyncio.run(scenario())


def test_the_encoder_of_a_default_head_is_probed_with_it(tmp_path: Path) -> None:
    levels = on_demand(write_bundle(tmp_path, "levels"))
    write_head(tmp_path, "mood", levels.digest)

    async def scenario() -> None:
        async with serving(tmp_path) as here:
            ready = (await here.http.get("/readyz")).json()
            assert ready["providers"].keys() == {"mood"}
            found = (await here.http.get("/metrics")).text
            for name in ("levels", "mood"):
                assert f'tasteprint_batch_windows_count{{model="{name}"}} 1.0' in found

    asyncio.run(scenario())


def test_the_sound_is_as_long_as_a_model_of_that_name_needs(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    audio = AUDIO.model_copy(update={"min_audio_s": 2.5, "window_s": 3.0})
    on_demand(write_bundle(tmp_path, "long", audio=audio))

    async def scenario() -> None:
        async with serving(tmp_path) as here:
            for query in ("", "?model=long"):
                assert (await here.http.get(f"/readyz{query}")).status_code == 200

    asyncio.run(scenario())


def test_without_a_key_no_model_is_named(folder: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, api_keys=KEY) as here:
            ready = await here.http.get("/readyz", params={"model": "later"})
            assert ready.json().keys() == {"status", "probe_ms"}
            unknown = await here.http.get("/readyz", params={"model": "other"})
            assert_problem(unknown, 404, "unknown-model")
            broken = await here.http.get("/readyz", params={"model": "broken"})
            assert_problem(broken, 503, "unavailable")
            for response in (unknown, broken):
                assert not any(told in response.text for told in ("levels", "later", "loaded"))

    asyncio.run(scenario())
