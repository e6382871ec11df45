"""`levels=true`: the outputs of an encoder beyond its embedding and features, on request only."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.schemas.responses import CachedAnswer
from tests.bundles import LEVELS, write_bundle, write_head
from tests.service.scrapes import read
from tests.service.tasks import Counted, counted
from tests.sounds import golden, write

ON_LEVELS = ("coarse", "features")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with levels, a head on them, a head on its features, an encoder without levels."""
    folder = tmp_path_factory.mktemp("models")
    levels = write_bundle(folder, "levels", levels=True)
    write_head(folder, "mood", levels.digest)
    write_head(folder, "on-levels", levels.digest, on=ON_LEVELS, task="other")
    write_bundle(folder, "plain")
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write(tmp_path / "clip.wav", golden(3.0, 16_000, 1, seed=7), 16_000)


async def look_up(service: Counted, clip: Path, **query: str | bool) -> tuple[int, dict[str, Any]]:
    digest = sha256(clip.read_bytes()).hexdigest()
    response = await service.http.get(f"/embeddings/{digest}", params=query)
    return response.status_code, response.json()


def test_levels_come_by_name_in_the_order_of_the_card(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            answer = await service.answer("/embed", clip, levels=True)
            sizes = [(name, len(vector)) for name, vector in answer["levels"].items()]
            assert sizes == list(LEVELS.items())
            # Every output is the root of the mean levels of equal parts of the window.
            parts = np.square(answer["embedding"]).reshape(LEVELS["coarse"], -1)
            assert answer["levels"]["coarse"] == pytest.approx(np.sqrt(parts.mean(1)), abs=1e-6)
            plain = await service.answer("/embed", clip)
            assert plain | {"levels": answer["levels"], "cached": False} == answer
            assert list(answer)[:4] == ["model", "embedding", "features", "levels"]

    asyncio.run(scenario())


def test_levels_are_left_out_unless_requested(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            for query in ({}, {"levels": False}):
                assert "levels" not in await service.answer("/embed", clip, **query)
            whole = await service.answer("/analyze", clip)
            assert not any("levels" in part for part in whole["models"].values())

    asyncio.run(scenario())


@pytest.mark.parametrize("model", ["plain", "mood"])
def test_a_model_without_levels_has_none(folder: Path, clip: Path, model: str) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            assert "levels" not in await service.answer("/embed", clip, model=model)
            answer = await service.answer("/embed", clip, model=model, levels=True)
            assert (answer["levels"], answer["cached"]) == ({}, True)

    asyncio.run(scenario())


def test_all_is_the_mean_of_the_windows_levels(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            every, *parts = [
                (await service.answer("/embed", clip, levels=True, window=window))["levels"]["fine"]
                for window in ("all", "0", "1", "2")
            ]
            assert every == pytest.approx(np.mean(parts, axis=0), abs=1e-6)

    asyncio.run(scenario())


@pytest.mark.parametrize("features", [True, False])
def test_levels_follow_the_other_vectors_in_bytes(folder: Path, clip: Path, features: bool) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            query = {"levels": True, "features": features}
            answer = await service.answer("/embed", clip, **query)
            files, raw = {"file": clip.read_bytes()}, {"Accept": "application/octet-stream"}
            posted = await service.http.post("/embed", files=files, headers=raw, params=query)
            asked = await service.http.get(
                f"/embeddings/{answer['audio']['sha256']}", headers=raw, params=query
            )
            vectors = {"embedding": answer["embedding"]}
            vectors |= {"features": answer["features"]} if features else {}
            vectors |= answer["levels"]
            sizes = ", ".join(f"{name}={len(vector)}" for name, vector in vectors.items())
            for response in (posted, asked):
                assert response.headers["tasteprint-outputs"] == sizes
                found = np.frombuffer(response.content, "<f4")
                assert found.tolist() == np.concatenate(list(vectors.values()), dtype="f4").tolist()

    asyncio.run(scenario())


def test_every_file_of_a_batch_has_its_levels(folder: Path, tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{seed}.wav", golden(2.0, 8_000, 1, seed=seed), 8_000)
        for seed in range(3)
    ]

    async def scenario() -> None:
        async with counted(folder) as service:
            files = [("file", (path.name, path.read_bytes())) for path in paths]
            for query in ({"levels": True}, {}):
                response = await service.http.post("/embed/batch", files=files, params=query)
                lines = [json.loads(line) for line in response.text.splitlines()]
                assert len(lines) == len(paths)
                for line in lines:
                    alone = await service.answer("/embed", paths[line["index"]], **query)
                    assert line["answer"] | {"cached": True} == alone

    asyncio.run(scenario())


def test_an_answer_with_levels_serves_both_kinds_of_request(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            asked: list[tuple[dict[str, bool], bool]] = [
                ({}, False),
                ({"levels": True}, False),  # the cached answer is without levels
                ({"levels": True}, True),
                ({}, True),
            ]
            for query, is_cached in asked:
                answer = await service.answer("/embed", clip, **query)
                assert ("levels" in answer, answer["cached"]) == ("levels" in query, is_cached)
            assert service.runs == {"levels": 2}

    asyncio.run(scenario())


def test_a_cached_answer_without_levels_is_none_with_levels(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            status, problem = await look_up(service, clip)
            assert (status, problem["type"]) == (404, "urn:tasteprint:not-remembered")
            assert "with levels" not in problem["detail"]
            plain = await service.answer("/embed", clip)
            status, problem = await look_up(service, clip, levels=True)
            assert (status, problem["type"]) == (404, "urn:tasteprint:not-remembered")
            assert "no cached answer with levels" in problem["detail"]
            assert "POST /embed?levels=true" in problem["remedy"]
            answer = await service.answer("/embed", clip, levels=True)
            assert await look_up(service, clip, levels=True) == (200, answer | {"cached": True})
            assert await look_up(service, clip) == (200, plain | {"cached": True})

    asyncio.run(scenario())


def test_a_lookup_of_levels_that_are_not_cached_counts_as_a_miss(folder: Path, clip: Path) -> None:
    async def counts(service: Counted) -> tuple[float, ...]:
        found = read((await service.http.get("/metrics")).text)
        name = "tasteprint_cache_lookups_total"
        return tuple(found.value(name, result=result) for result in ("hit", "miss"))

    async def scenario() -> None:
        async with counted(folder) as service:
            await service.answer("/embed", clip)
            hits, misses = await counts(service)
            await look_up(service, clip, levels=True)
            assert await counts(service) == (hits, misses + 1)
            await look_up(service, clip)
            assert await counts(service) == (hits + 1, misses + 1)

    asyncio.run(scenario())


def test_levels_that_no_request_wants_are_not_cached(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            stored: list[set[str]] = []
            put = service.pipeline.cache.put

            async def note(key: str, value: CachedAnswer) -> None:
                stored.append(set(value.outputs))
                await put(key, value)

            service.pipeline.cache.put = note  # type: ignore[method-assign]
            await service.answer("/embed", clip)
            await service.answer("/analyze", clip)
            assert len(stored) == 4
            assert not any(outputs & LEVELS.keys() for outputs in stored)
            await service.answer("/embed", clip, levels=True)
            assert stored[-1] == {"embedding", "features", *LEVELS}

    asyncio.run(scenario())


def test_requests_at_a_time_share_one_run_whether_with_levels_or_not(
    folder: Path, clip: Path
) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            queries: list[dict[str, str | bool]] = [{}, {"levels": True}] * 4
            answers = await asyncio.gather(
                *[service.answer("/embed", clip, **query) for query in queries],
                service.answer("/classify/other", clip),
            )
            assert service.runs == {"levels": 1, "on-levels": 1}
            for query, answer in zip(queries, answers, strict=False):
                assert ("levels" in answer) == ("levels" in query)
                assert answer.get("levels", LEVELS).keys() == LEVELS.keys()
            status, _ = await look_up(service, clip, levels=True)
            assert status == 200

    asyncio.run(scenario())


def test_a_request_with_levels_computes_anew_where_the_running_answer_is_without(
    folder: Path, clip: Path
) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            put, storing, gate = service.pipeline.cache.put, asyncio.Event(), asyncio.Event()

            async def wait_and_put(key: str, value: CachedAnswer) -> None:
                storing.set()
                await gate.wait()
                await put(key, value)

            service.pipeline.cache.put = wait_and_put  # type: ignore[method-assign]
            plain = asyncio.create_task(service.answer("/embed", clip))
            await storing.wait()
            rich = asyncio.create_task(service.answer("/embed", clip, levels=True))
            (job,) = service.pipeline.jobs.values()
            (running,) = job._answers._running.values()
            while running.callers < 2:
                await asyncio.sleep(0)
            gate.set()
            assert "levels" not in await plain
            assert (await rich)["levels"].keys() == LEVELS.keys()
            assert service.runs == {"levels": 1}  # its outputs were still at hand
            assert (await look_up(service, clip, levels=True))[0] == 200

    asyncio.run(scenario())


def test_a_head_runs_on_cached_levels_only_where_its_encoder_was_cached_with_them(
    folder: Path, clip: Path
) -> None:
    async def scenario() -> None:
        async with counted(folder) as one, counted(folder) as other:
            await one.answer("/embed", clip)
            fresh = await one.answer("/classify/other", clip)
            assert one.runs == {"levels": 2, "on-levels": 1}
            await other.answer("/embed", clip, levels=True)
            cached = await other.answer("/classify/other", clip)
            assert other.runs == {"levels": 1, "on-levels": 1}
            assert sum(other.decodings.values()) == 1
            assert cached == fresh

    asyncio.run(scenario())


def test_levels_must_be_a_boolean(folder: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with counted(folder) as service:
            files = {"file": clip.read_bytes()}
            response = await service.http.post("/embed?levels=some", files=files)
            assert (response.status_code, response.json()["type"]) == (
                422,
                "urn:tasteprint:invalid-parameter",
            )

    asyncio.run(scenario())
