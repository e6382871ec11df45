"""`POST /analyze`: one upload, every model's answer, and nothing done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from models.audio.window_choice import WindowChoice
from models.audio.windows import Windows, read_windows
from service.pipeline.pipeline import Pipeline
from tests.bundles import AUDIO, write_bundle
from tests.running import running
from tests.service.tasks import Counted, counted, write_models
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write

ROUTES = {
    "a-mood": "/classify/mood?model=a-mood",
    "delicate": "/classify/delicate",
    "feeling": "/regress/feeling",
    "levels": "/embed",
    "long": "/embed?model=long",
    "mood": "/classify/mood",
}
ON_LEVELS = ["a-mood", "feeling", "levels"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write(tmp_path / "clip.wav", golden(3.0, 16_000, 1, seed=7), 16_000)


@pytest.fixture
def loud(tmp_path: Path) -> Path:
    return write(tmp_path / "loud.wav", (golden(3.0, 16_000, 1) * 50).clip(-1, 1), 16_000)


def part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    """What an analysis says of one model, as its own route would."""
    answer = dict(whole["models"][name])
    del answer["kind"], answer["task"]
    return {"audio": whole["audio"], "window": whole["window"]} | answer


@pytest.mark.parametrize("window", ["middle", "all"])
def test_it_says_what_every_models_own_route_says(folder: Path, clip: Path, window: str) -> None:
    async def scenario() -> None:
        async with counted(folder) as one, counted(folder) as other:
            whole = await one.answer("/analyze", clip, window=window, vectors=True)
            assert list(whole["models"]) == list(ROUTES)
            for name, route in ROUTES.items():
                query = {} if "embed" in route else {"vectors": True}
                assert part(whole, name) == await _single(
                    other, route, clip, window=window, **query
                )

    asyncio.run(scenario())


async def _single(service: Counted, route: str, clip: Path, **query: str | bool) -> dict[str, Any]:
    path, _, model = route.partition("?model=")
    return await service.answer(path, clip, **query, **({"model": model} if model else {}))


def computing(pipeline: Pipeline) -> int:
    """Number of answers being computed."""
    return sum(job.n_computing for job in pipeline.jobs.values())


def test_a_decoding_an_input_and_a_run_a_graph(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            whole = await service.answer("/analyze", clip, window="all")
            assert service.decodings == {1.0: 1, 2.0: 1}
            assert service.runs == dict.fromkeys(ROUTES, 3) | {"long": 2}  # 3 s in windows
            assert whole["window"]["starts"] == [0.0, 1.0, 2.0]
            assert whole["models"]["long"]["window"]["starts"] == [0.0, 1.0]
            assert "window" not in whole["models"]["mood"]

    asyncio.run(scenario())


def test_an_upload_takes_one_slot_and_releases_everything(
    folder: Path, clip: Path, loud: Path
) -> None:
    async def scenario() -> None:
        async with counted(folder, max_in_flight=1) as service:
            whole = await service.answer("/analyze", clip)
            assert not any("problem" in part for part in whole["models"].values())
            await service.answer("/analyze", loud)  # one model fails on it
            pipeline = service.pipeline
            assert (pipeline.jobs, pipeline.admission.in_flight) == ({}, 0)
            assert pipeline.upload_budget.held_bytes == 0

    asyncio.run(scenario())


def test_a_disconnect_does_not_cancel_the_work_of_other_clients(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            decode = service.pipeline.decoders.decode
            decoding, gate = asyncio.Event(), asyncio.Event()

            async def waits(*job: Any, **part: Any) -> Windows:
                decoding.set()
                await gate.wait()
                return await decode(*job, **part)

            service.pipeline.decoders.decode = waits  # type: ignore[method-assign]
            left = asyncio.create_task(service.answer("/analyze", clip, models="levels,a-mood"))
            await decoding.wait()
            stays = asyncio.create_task(service.answer("/regress/feeling", clip))
            while computing(service.pipeline) < 3:  # two of the first, one of the second
                await asyncio.sleep(0)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            gate.set()
            assert (await stays)["cached"] is False
            assert service.decodings == {1.0: 1}
            # What only the first one wanted is not computed.
            assert service.runs == {"levels": 1, "feeling": 1}

    asyncio.run(scenario())


def test_cached_answers_are_not_computed_again(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            await service.answer("/embed", clip)
            await service.answer("/classify/mood", clip)
            service.runs.clear()
            service.decodings.clear()
            whole = await service.answer("/analyze", clip, models="levels,a-mood,feeling,mood")
            # The heads take what their encoder is remembered to have said.
            assert (service.decodings, service.runs) == (Counter(), {"a-mood": 1, "feeling": 1})
            assert [part["cached"] for part in whole["models"].values()] == [
                True,
                False,
                False,
                True,
            ]
            service.runs.clear()
            for name in ON_LEVELS:
                assert (await _single(service, ROUTES[name], clip))["cached"] is True
            assert service.runs == Counter()

    asyncio.run(scenario())


def test_a_head_runs_on_each_window_also_if_only_the_mean_is_cached(
    folder: Path, clip: Path
) -> None:
    async def scenario() -> None:
        async with counted(folder) as one, counted(folder) as other:
            await one.answer("/embed", clip, window="all")
            after = await one.answer("/classify/mood", clip, window="all", model="a-mood")
            fresh = await other.answer("/classify/mood", clip, window="all", model="a-mood")
            assert after == fresh

    asyncio.run(scenario())


def test_requests_at_a_time_share_the_decoding_and_the_encoder(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            routes = [ROUTES[name] for name in ON_LEVELS] * 3
            asked = [_single(service, route, clip) for route in routes]
            every = [service.answer("/analyze", clip, models=",".join(ON_LEVELS)) for _ in range(4)]
            singles, wholes = await asyncio.gather(asyncio.gather(*asked), asyncio.gather(*every))
            assert service.decodings == {1.0: 1}
            assert service.runs == dict.fromkeys(ON_LEVELS, 1)
            cached = [answer["cached"] for answer in singles] + [
                part["cached"] for whole in wholes for part in whole["models"].values()
            ]
            assert cached.count(False) == len(ON_LEVELS)

    asyncio.run(scenario())


def test_a_model_that_fails_leaves_the_others_their_answers(
    tmp_path: Path, folder: Path, loud: Path
) -> None:
    with running(tmp_path / "log", models_dir=folder, decode_workers=1) as service:
        whole = service.answer("/analyze", loud)
        failed = whole["models"].pop("delicate")
        assert failed.keys() == {"model", "kind", "task", "problem"}
        assert failed["problem"]["type"] == "urn:tasteprint:inference-failed"
        assert failed["problem"]["status"] == 500
        assert not any("problem" in part for part in whole["models"].values())
        alone = service.post("/analyze", loud, models="delicate")
        assert assert_problem(alone, 500, "inference-failed") == failed["problem"]
        assert service.answer("/analyze", loud, models="mood")["models"].keys() == {"mood"}


def test_audio_that_no_model_can_use_is_a_problem(tmp_path: Path, folder: Path, clip: Path) -> None:
    with running(tmp_path / "log", models_dir=folder, decode_workers=1) as service:
        assert_problem(service.post("/analyze", b"words " * 100), 415, "not-audio")
        assert_problem(service.post("/analyze", clip, window="100"), 422, "window-outside")
        assert_problem(service.post("/analyze", clip, models="mood,other"), 404, "unknown-model")
        assert_problem(service.post("/analyze", clip, models=""), 404, "unknown-model")
        assert_problem(service.post("/analyze", clip, model="mood"), 400, "unknown-parameter")
        repeated = service.http.post(
            "/analyze?models=long&models=mood,long", files={"file": clip.read_bytes()}
        )
        assert list(repeated.json()["models"]) == ["long", "mood"]
        files = service.open_files()
        assert_problem(service.post("/analyze", b"words " * 100), 415, "not-audio")
        assert service.open_files() <= files
        assert service.held_bytes() == 0


def test_models_of_two_sample_rates_answer_to_one_upload(tmp_path: Path) -> None:
    """Each hears the file at its own rate, as training decodes it."""
    rates = {"of-16000": 16_000, "of-22050": 22_050}
    audios = {
        name: AUDIO.model_copy(update={"sample_rate": rate, "window_s": 4.0})
        for name, rate in rates.items()
    }
    bundles = {
        name: write_bundle(tmp_path / "models", name, audio=audio) for name, audio in audios.items()
    }
    clip = write(tmp_path / "clip.wav", golden(6.0, 44_100, 2, seed=7), 44_100)

    async def scenario() -> dict[str, Any]:
        async with counted(tmp_path / "models", default_model="of-16000") as service:
            whole = await service.answer("/analyze", clip, vectors=True)
            assert sum(service.decodings.values()) == 2
            return whole

    whole = asyncio.run(scenario())
    assert list(whole["models"]) == list(rates)
    for name, bundle in bundles.items():
        heard = read_windows(clip, audios[name], WindowChoice()).samples
        assert heard.shape == (1, 4 * rates[name])
        session = ort.InferenceSession(bundle.graph_bytes(bundle.card.graph()))
        (expected,) = session.run(["embedding"], {"waveform": heard})
        assert whole["models"][name]["embedding"] == pytest.approx(expected[0].tolist(), abs=1e-5)
