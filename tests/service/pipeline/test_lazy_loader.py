"""Bundles that are not default are loaded by their first request, once, beside other requests."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from service.errors import Stopping, Unavailable
from service.inference import loader
from service.inference.devices import count_cuda_devices
from service.inference.model import Model
from service.inference.registry import load_models
from service.pipeline.lazy_loader import LazyLoader
from service.settings import Settings
from tests.bundles import graph_bytes, write_bundle, write_head, write_task
from tests.running import DEADLINE_S, running
from tests.service.on_demand import Loadings, on_demand, serving
from tests.service.scrapes import read
from tests.service.test_bad_input import assert_problem
from tests.service.test_leaks import assert_tells_nothing
from tests.sounds import golden, write


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write(tmp_path / "clip.wav", golden(2.0))


@pytest.fixture
def loadings(monkeypatch: pytest.MonkeyPatch) -> Loadings:
    return Loadings.watch(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A default encoder, one that is not, and a third that onnxruntime cannot load."""
    write_bundle(tmp_path / "models", "levels")
    on_demand(write_bundle(tmp_path / "models", "later", graph_bytes(root="Exp")))
    on_demand(write_bundle(tmp_path / "models", "broken", b"no ONNX"))
    return tmp_path / "models"


async def comes(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.01)


def test_the_first_request_loads_the_model(folder: Path, clip: Path, loadings: Loadings) -> None:
    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            unloaded = (await here.http.get("/models/later")).json()
            assert unloaded["loaded"] is False
            assert (unloaded["provider"], unloaded["precision"]) == (None, None)
            assert unloaded["card"]["default"] is False
            assert (await here.post("/embed", clip)).status_code == 200
            assert loadings.names == []
            for _ in range(2):
                answer = (await here.post("/embed", clip, model="later")).json()
                assert answer["model"]["digest"] == unloaded["digest"]
            assert loadings.names == ["later"]
            loaded = (await here.http.get("/models/later")).json()
            assert (loaded["loaded"], loaded["precision"]) == (True, "float32")
            assert await here.listed() == {"broken": False, "later": True, "levels": True}

    asyncio.run(scenario())


def test_the_banner_names_models_that_are_loaded_later(folder: Path, clip: Path) -> None:
    settings = {"models_dir": folder, "default_model": "levels", "decode_workers": 1}
    with running(folder.parent / "log", **settings) as service:
        assert "later    broken, later: loaded when first requested" in service.log()
        assert service.embedding(clip, model="later")["model"]["name"] == "later"
        assert "loaded later in" in service.log()
        refused = service.embed(clip, model="broken")
        assert_problem(refused, 503, "model-refused")
        assert_tells_nothing(refused, service.http.get("/models"))


def test_metrics_state_loaded_models_from_zero_on(folder: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            for loaded in ({"levels"}, {"levels", "later"}):
                found = read((await here.http.get("/metrics")).text)
                names = {labels["name"] for labels in found.labels("tasteprint_model_info")}
                assert names == loaded
                for metric in ("tasteprint_batch_windows_count", "tasteprint_windows_waiting"):
                    assert {labels["model"] for labels in found.labels(metric)} == loaded
                await here.pipeline.load(here.pipeline.models.find("later"))

    asyncio.run(scenario())


def test_first_requests_at_a_time_load_once_and_others_are_answered_meanwhile(
    folder: Path, clip: Path, loadings: Loadings
) -> None:
    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            loadings.goes_on.clear()
            first = [
                asyncio.create_task(here.post("/embed", clip, model="later")) for _ in range(4)
            ]
            await comes(loadings.entered.is_set)
            assert (await here.post("/embed", clip)).status_code == 200
            assert (await here.http.get("/readyz")).status_code == 200
            assert not any(request.done() for request in first)
            loadings.goes_on.set()
            answers = [response.json() for response in await asyncio.gather(*first)]
            assert [answer["model"]["name"] for answer in answers] == ["later"] * 4
            assert loadings.names == ["later"]

    asyncio.run(scenario())


def test_a_loading_goes_on_without_the_request_that_began_it(
    folder: Path, clip: Path, loadings: Loadings
) -> None:
    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            loadings.goes_on.clear()
            left = asyncio.create_task(here.post("/embed", clip, model="later"))
            await comes(loadings.entered.is_set)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            loadings.goes_on.set()
            assert (await here.post("/embed", clip, model="later")).status_code == 200
            assert loadings.names == ["later"]

    asyncio.run(scenario())


def test_a_request_waits_no_longer_than_its_time_limit_and_the_loading_goes_on(
    folder: Path, loadings: Loadings
) -> None:
    async def scenario() -> None:
        models, loaded = load_models(Settings(models_dir=folder)), list[Model]()
        lazy_loader = LazyLoader(models, loaded.append, timeout_s=0.01)
        loadings.goes_on.clear()
        for _ in range(2):
            with pytest.raises(Unavailable, match="still being loaded"):
                await lazy_loader.load(models.find("later"))
        loadings.goes_on.set()
        await comes(lambda: bool(loaded))
        assert models.loaded["later"] is loaded[0]
        assert loadings.names == ["later"]
        await lazy_loader.close()

    asyncio.run(scenario())


def test_a_bundle_that_cannot_be_loaded_is_refused_for_good_and_others_go_on(
    folder: Path, clip: Path, loadings: Loadings
) -> None:
    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            together = await asyncio.gather(
                *[here.post("/embed", clip, model="broken") for _ in range(2)]
            )
            later = await here.post("/embed", clip, model="broken")
            first, *others = (
                assert_problem(response, 503, "model-refused") for response in (*together, later)
            )
            assert others == [first] * 2
            assert "Retry-After" not in later.headers
            assert "broken" in first["detail"]
            assert "cannot be loaded and run" in first["detail"]
            assert loadings.names == ["broken"]
            (refused,) = (await here.http.get("/models")).json()["refused"]
            assert refused["name"] == "broken"
            assert refused["reason"] in first["detail"]
            assert await here.listed() == {"later": False, "levels": True}
            assert_problem(await here.http.get("/models/broken"), 503, "model-refused")
            for name in ("levels", "later"):
                assert (await here.post("/embed", clip, model=name)).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("bad allocation"),
        OSError(errno.EMFILE, "Too many open files"),
        ort_errors.RuntimeException("CUDA failure 2: out of memory"),
        ort_errors.Fail("CUDA failure 2: out of memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_after_a_failure_that_may_pass_the_next_request_tries_again(
    folder: Path,
    clip: Path,
    loadings: Loadings,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object) -> Model:
        raise error

    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            with monkeypatch.context() as failing:
                failing.setattr(loader, "open_model", fail)
                for _ in range(2):
                    failed = await here.post("/embed", clip, model="later")
                    assert_problem(failed, 503, "unavailable")
                    assert "Retry-After" in failed.headers
                    assert_tells_nothing(failed)
            models = (await here.http.get("/models")).json()
            assert models["refused"] == []
            assert (await here.post("/embed", clip, model="later")).status_code == 200
            assert loadings.names == ["later"] * 3

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EMFILE, "unavailable"), (errno.ENOENT, "model-refused")]
)
def test_a_file_that_is_missing_is_told_from_one_that_cannot_be_read_now(
    folder: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(number, "on cue", str(path))

    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            with monkeypatch.context() as failing:
                failing.setattr(Path, "read_bytes", fail)
                response = await here.http.post("/embed?model=later", files={"file": audio})
            assert_problem(response, 503, kind)
            again = await here.post("/embed", clip, model="later")
            assert again.status_code == (200 if kind == "unavailable" else 503)

    audio = clip.read_bytes()
    asyncio.run(scenario())


def test_a_head_waits_for_an_encoder_that_cannot_be_loaded_now(
    tmp_path: Path, clip: Path, loadings: Loadings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path / "models", "levels")
    encoder = on_demand(write_bundle(tmp_path / "models", "later"))
    on_demand(write_head(tmp_path / "models", "mood", encoder.digest))

    def fail(*_: object) -> Model:
        raise MemoryError

    async def scenario() -> None:
        async with serving(tmp_path / "models") as here:
            with monkeypatch.context() as failing:
                failing.setattr(loader, "open_model", fail)
                failed = await here.post("/classify/mood", clip)
                assert_problem(failed, 503, "unavailable")
            assert (await here.post("/classify/mood", clip)).status_code == 200
            assert (await here.http.get("/models/mood")).json()["encoder"] == "later"
            assert loadings.names == ["later", "later", "mood"]

    asyncio.run(scenario())


def test_a_refused_model_of_an_analysis_is_the_problem_of_the_request(
    folder: Path, clip: Path
) -> None:
    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            asked = await here.post("/analyze", clip, models="levels,broken")
            assert_problem(asked, 503, "model-refused")

    asyncio.run(scenario())


@pytest.mark.parametrize("route", ["/embed?model=mood", "/classify/mood", "/analyze?models=mood"])
def test_a_head_loads_its_encoder_and_shares_its_run(
    tmp_path: Path, clip: Path, loadings: Loadings, route: str
) -> None:
    write_bundle(tmp_path / "models", "levels")
    encoder = on_demand(write_bundle(tmp_path / "models", "later"))
    on_demand(write_head(tmp_path / "models", "mood", encoder.digest))

    async def scenario() -> None:
        async with serving(tmp_path / "models") as here:
            response = await here.post(route, clip)
            assert response.status_code == 200, response.text
            assert loadings.names == ["later", "mood"]
            assert (await here.http.get("/models/mood")).json()["encoder"] == "later"

    asyncio.run(scenario())


def test_a_head_whose_encoder_is_refused_runs_by_its_full_graph(
    tmp_path: Path, clip: Path, loadings: Loadings
) -> None:
    write_bundle(tmp_path / "models", "levels")
    encoder = on_demand(write_bundle(tmp_path / "models", "later", b"no ONNX"))
    on_demand(write_head(tmp_path / "models", "mood", encoder.digest))

    async def scenario() -> None:
        async with serving(tmp_path / "models") as here:
            assert (await here.post("/classify/mood", clip)).status_code == 200
            assert loadings.names == ["later", "mood"]
            assert (await here.http.get("/models/mood")).json()["encoder"] is None

    asyncio.run(scenario())


def test_analyze_answers_by_the_default_models_and_by_others_that_are_named(
    tmp_path: Path, clip: Path
) -> None:
    write_bundle(tmp_path / "models", "levels")
    write_task(tmp_path / "models", "mood")
    on_demand(write_task(tmp_path / "models", "a-mood"))

    async def scenario() -> None:
        async with serving(tmp_path / "models") as here:
            asked = ("", "levels,a-mood", "")
            found = [
                list((await here.post(f"/analyze?{query}", clip)).json()["models"])
                for query in [f"models={names}" if names else "" for names in asked]
            ]
            assert found == [["levels", "mood"], ["levels", "a-mood"], ["levels", "mood"]]
            assert (await here.listed())["a-mood"] is True

    asyncio.run(scenario())


def test_analyze_without_default_models_lists_those_that_can_be_named(
    tmp_path: Path, clip: Path
) -> None:
    for name in ("later", "other"):
        on_demand(write_bundle(tmp_path / "models", name))

    async def scenario() -> None:
        async with serving(tmp_path / "models") as here:
            problem = assert_problem(await here.post("/analyze", clip), 404, "unknown-model")
            assert problem["limit"] == "later, other"
            assert (await here.post("/analyze", clip, models="later")).status_code == 200

    asyncio.run(scenario())


@pytest.mark.skipif(count_cuda_devices() > 0, reason="there is a CUDA device")
def test_a_required_gpu_is_required_of_models_that_are_loaded_later(
    tmp_path: Path, clip: Path
) -> None:
    on_demand(write_bundle(tmp_path / "models", "later"))

    async def scenario() -> None:
        async with serving(tmp_path / "models", require_gpu=True) as here:
            refused = await here.post("/embed", clip, model="later")
            assert "REQUIRE_GPU" in assert_problem(refused, 503, "model-refused")["detail"]

    asyncio.run(scenario())


def test_a_shutdown_closes_the_queues_of_models_that_were_loaded_later(
    folder: Path, clip: Path
) -> None:
    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            assert (await here.post("/embed", clip, model="later")).status_code == 200
            batcher = here.pipeline.batchers["later"]
            model = here.pipeline.models.loaded["later"]
        with pytest.raises(Unavailable, match="shutting down"):
            await batcher.run(np.zeros(model.input_shape, np.float32))

    asyncio.run(scenario())


def test_a_shutdown_waits_for_no_loading_and_its_waiters_get_an_error(
    folder: Path, loadings: Loadings
) -> None:
    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            loadings.goes_on.clear()
            pipeline = here.pipeline
            loading = asyncio.create_task(pipeline.load(pipeline.models.find("later")))
            await comes(loadings.entered.is_set)
            assert pipeline.requests == 1
        with pytest.raises(Stopping):
            await loading
        loadings.goes_on.set()
        assert list(pipeline.models.loaded) == list(pipeline.batchers) == ["levels"]

    asyncio.run(scenario())


def test_a_request_that_waits_for_a_loading_is_refused_if_the_service_stops(
    folder: Path, clip: Path, loadings: Loadings
) -> None:
    async def scenario() -> None:
        async with serving(folder, default_model="levels") as here:
            loadings.goes_on.clear()
            waits = asyncio.create_task(here.post("/embed", clip, model="later"))
            await comes(loadings.entered.is_set)
            here.pipeline.stop()
            loadings.goes_on.set()
            assert_problem(await waits, 503, "stopping")
            assert_problem(await here.post("/embed", clip, model="broken"), 503, "stopping")
            assert loadings.names == ["later"]

    asyncio.run(scenario())
