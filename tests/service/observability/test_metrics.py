"""`GET /metrics`: Prometheus's format, a bounded number of labels, and correct counts."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from service.app import create_app
from service.decoding.pool import DecodePool
from service.inference.batcher import Batcher
from service.inference.model import Model
from service.observability.metrics import Metrics
from service.pipeline.gauges import QueueGauges
from service.pipeline.pipeline import Pipeline
from service.settings import Settings
from tests.bundles import AUDIO, write_bundle
from tests.running import DEADLINE_S, Service, decoders_of, wait_until
from tests.service.decoding.test_pool import decodes
from tests.service.inference.test_batcher import Gated, first_enters, gated, windows
from tests.service.scrapes import Scrape, read, scrape
from tests.service.tasks import counted, write_models
from tests.service.test_api_keys import settings
from tests.sounds import golden, write

__all__ = ["gated"]  # a fixture


def clip(folder: Path, seed: int) -> Path:
    return write(folder / f"{seed}.wav", golden(2.0, 8_000, 1, seed=seed), 8_000)


def of(metrics: Metrics) -> Scrape:
    return read(metrics.exposition("")[0].decode())


def test_both_of_prometheus_formats_are_spoken(watched: Service) -> None:
    plain = watched.http.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert read(plain.text).value("tasteprint_requests_total", route="/embed") >= 3
    asked = {"accept": "application/openmetrics-text; version=1.0.0"}
    modern = watched.http.get("/metrics", headers=asked)
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in read_openmetrics(modern.text)}  # type: ignore[no-untyped-call]
    assert {"tasteprint_requests", "tasteprint_stage_seconds", "tasteprint_model"} <= names


def test_a_request_counts_by_route_outcome_and_reason(watched: Service, tmp_path: Path) -> None:
    before = scrape(watched)
    watched.embedding(clip(tmp_path, 91))
    watched.embed(b"These are words.\n" * 100)
    watched.http.get("/models/nobody")
    watched.http.get("/embed")
    after = scrape(watched)
    for labels in (
        {"route": "/embed", "outcome": "answered", "reason": "none"},
        {"route": "/embed", "outcome": "refused", "reason": "not-audio"},
        {"route": "/models/{name}", "outcome": "refused", "reason": "unknown-model"},
        {"route": "/embed", "outcome": "refused", "reason": "method-not-allowed"},
    ):
        name = "tasteprint_requests_total"
        assert after.value(name, **labels) == before.value(name, **labels) + 1, labels


def test_unknown_paths_share_one_label(watched: Service) -> None:
    watched.http.get("/unknown/first")
    before = scrape(watched)
    for number in range(20):
        watched.http.get(f"/unknown/{number}")
    after = scrape(watched)
    assert len(after.samples) == len(before.samples)
    counted = {"route": "unmatched", "reason": "not-found"}
    name = "tasteprint_requests_total"
    assert after.value(name, **counted) == before.value(name, **counted) + 20


def test_what_is_answered_before_its_route_counts_for_it_all_the_same(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    app = create_app(settings(models_dir=tmp_path, api_keys="k" * 20))
    asked = {
        "/openapi.json": ("/openapi.json", "none"),
        "/models/any?window=1": ("/models/{name}", "no-key"),
        "/embeddings/0": ("/embeddings/{sha256}", "no-key"),
        "/embed/batch": ("/embed/batch", "no-key"),
        "/models/any?" + "x" * 5000: ("/models/{name}", "query-too-long"),
        "/models/any/more": ("unmatched", "no-key"),
        "/catalogue/album/song": ("/catalogue/{track_id}", "no-key"),
    }

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
            for path in asked:
                await http.get(path)

    asyncio.run(ask())
    found = of(app.state.metrics)
    for route, reason in asked.values():
        assert found.value("tasteprint_requests_total", route=route, reason=reason) == 1, route


def test_stages_are_those_of_the_server_timing_header(watched: Service, tmp_path: Path) -> None:
    before = scrape(watched)
    response = watched.embed(clip(tmp_path, 92))
    stages = [part.split(";")[0] for part in response.headers["server-timing"].split(", ")]
    after = scrape(watched)
    name = "tasteprint_stage_seconds_count"
    rose = {
        labels["stage"]
        for labels in after.labels(name)
        if after.value(name, **labels) > before.value(name, **labels)
    }
    assert rose == set(stages) >= {"upload", "cache", "decode", "queue", "infer", "remember"}


def test_models_and_build_are_stated(watched: Service) -> None:
    (stated,) = scrape(watched).labels("tasteprint_model_info")
    (model,) = watched.http.get("/models").json()["models"]
    assert stated == {name: str(model[name]) for name in stated}
    told = {"name", "version", "digest", "kind", "task", "provider", "devices", "precision"}
    assert stated.keys() >= told
    (build,) = scrape(watched).labels("tasteprint_build_info")
    assert build["version"] == watched.http.get("/openapi.json").json()["info"]["version"]


def test_the_start_is_measured_from_the_process(watched: Service) -> None:
    found = scrape(watched)
    assert 0.2 < found.value("tasteprint_start_to_ready_seconds") < 60
    resident = found.value("process_resident_memory_bytes")
    assert resident == pytest.approx(watched.memory_bytes(), rel=0.9)


def test_cache_hits_misses_and_errors_are_counted(
    service: Service, watched: Service, tmp_path: Path
) -> None:
    before = scrape(service)
    for _ in range(2):
        service.embedding(clip(tmp_path, 93))
    after = scrape(service)
    for result in ("miss", "hit"):
        name = "tasteprint_cache_lookups_total"
        assert after.value(name, result=result) == before.value(name, result=result) + 1
    # There is no Redis behind the other one.
    assert scrape(watched).value("tasteprint_cache_errors_total", cause="unanswered") >= 1


def test_what_waits_is_read_when_scraped(watched: Service, tmp_path: Path) -> None:
    files = [clip(tmp_path, seed).read_bytes() for seed in (94, 95, 96)]
    (decoder,) = watched.decoders()
    os.kill(decoder, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(3) as clients:
            answers = [clients.submit(watched.embed, file) for file in files]
            wait_until(
                lambda: scrape(watched).value("tasteprint_decode_jobs_waiting") == 2, "two wait"
            )
            found = scrape(watched)
            os.kill(decoder, signal.SIGCONT)
            assert {answer.result().status_code for answer in answers} == {200}
    finally:
        os.kill(decoder, signal.SIGCONT)
    assert found.value("tasteprint_windows_in_work") == 3
    assert found.value("tasteprint_held_bytes") == sum(map(len, files))
    assert found.value("tasteprint_requests_running") == 4  # with the scrape itself
    after = scrape(watched)
    for name in ("windows_in_work", "decode_jobs_waiting", "held_bytes", "uploads_running"):
        assert after.value(f"tasteprint_{name}") == 0, name


def test_running_uploads_are_shown_and_disconnected_ones_counted(watched: Service) -> None:
    left = {"route": "/embed", "outcome": "left", "reason": "client-left"}
    url = httpx.URL(watched.url)
    before = scrape(watched).value("tasteprint_requests_total", **left)

    def seen() -> bool:
        return scrape(watched).value("tasteprint_uploads_running") == 1

    async def upload_a_bit() -> None:
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n")
        writer.write(b"Content-Length: 1000\r\n\r\nRIFF")
        await writer.drain()
        await asyncio.to_thread(wait_until, seen, "the upload is seen")
        assert scrape(watched).value("tasteprint_held_bytes") == 4
        writer.close()
        await writer.wait_closed()

    asyncio.run(upload_a_bit())
    wait_until(
        lambda: scrape(watched).value("tasteprint_requests_total", **left) == before + 1,
        "it is counted as one that left",
    )
    assert scrape(watched).value("tasteprint_uploads_running") == 0


def test_batches_and_the_windows_that_wait_are_counted_by_model(gated: Gated) -> None:
    async def scenario() -> None:
        app = create_app(Settings(models_dir=gated.model.bundle.folder.parent))
        pipeline: Pipeline = app.state.pipeline
        metrics: Metrics = app.state.metrics
        batcher = Batcher(cast(Model, gated), 30, metrics)
        pipeline.batchers["levels"] = batcher
        first, *rest = windows(gated, 4)
        tasks = [await first_enters(gated, batcher, first)]
        tasks += [asyncio.create_task(batcher.run(window)) for window in rest]
        await asyncio.sleep(0)
        assert of(metrics).value("tasteprint_windows_waiting", model="levels") == 3
        gated.gate.set()
        await asyncio.gather(*tasks)
        after = of(metrics)
        assert after.value("tasteprint_windows_waiting", model="levels") == 0
        assert after.value("tasteprint_batch_windows_bucket", model="levels", le="1.0") == 1
        assert after.value("tasteprint_batch_windows_bucket", model="levels", le="4.0") == 2
        assert after.value("tasteprint_batch_windows_sum", model="levels") == 4
        await batcher.close()

    asyncio.run(scenario())


def test_decoder_deaths_are_counted_by_their_cause(tmp_path: Path) -> None:
    metrics, path = Metrics("test"), clip(tmp_path, 97)

    async def deaths(timeout_s: float, *hows: Callable[[int], None]) -> None:
        pool = DecodePool(Settings(decode_workers=1, decode_timeout_s=timeout_s), metrics)
        await pool.start()
        try:
            for how in hows:
                await end_one(pool, path, how)
                await decodes(pool, path)
        finally:
            await pool.close()

    crashed, lost = (partial(kill, how=how) for how in (signal.SIGSEGV, signal.SIGKILL))
    asyncio.run(deaths(DEADLINE_S, crashed, lost))
    asyncio.run(deaths(0.6, lambda _: None))  # its time runs out
    name, causes = "tasteprint_decoder_deaths_total", ("crashed", "lost")
    assert [of(metrics).value(name, cause=cause) for cause in causes] == [1, 1]
    # A busy machine may meet that limit again.
    assert of(metrics).value(name, cause="timed-out") >= 1


def kill(pid: int, how: signal.Signals) -> None:
    os.kill(pid, how)
    with suppress(ProcessLookupError):  # killed and waited for already
        os.kill(pid, signal.SIGCONT)


async def end_one(pool: DecodePool, path: Path, how: Callable[[int], None]) -> None:
    """Stop the decoder at its work and end it that way."""
    (pid,) = decoders_of(os.getpid())
    os.kill(pid, signal.SIGSTOP)
    task = asyncio.create_task(pool.decode(path, AUDIO, "middle"))
    await asyncio.sleep(0)  # runs it up to where it waits for the answer
    how(pid)
    (error,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(error, BaseException)


def test_each_models_part_of_an_analysis_is_counted(tmp_path: Path) -> None:
    square = np.repeat(np.resize([0.9, -0.9], 80), 100)[:, None].astype(np.float32)
    loud = write(tmp_path / "loud.wav", square, 8_000)
    folder = write_models(tmp_path / "models")

    async def analyze() -> Scrape:
        async with counted(folder) as here:
            await here.answer("/analyze", loud, models="levels,delicate")
            return read((await here.http.get("/metrics")).text)

    found, name = asyncio.run(analyze()), "tasteprint_answers_total"
    assert found.value(name, model="levels", outcome="computed", reason="none") == 1
    assert found.value(name, model="delicate", outcome="failed", reason="inference-failed") == 1
    # The request itself was answered.
    answered = {"route": "/analyze", "outcome": "answered"}
    assert found.value("tasteprint_requests_total", **answered) == 1


def test_applications_in_one_process_count_for_themselves(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    one, other = (create_app(Settings(models_dir=tmp_path)) for _ in range(2))
    one.state.metrics.decoder_exited("lost")
    name = "tasteprint_decoder_deaths_total"
    assert [of(app.state.metrics).value(name) for app in (one, other)] == [1, 0]


def test_a_pipeline_that_has_not_started_can_be_scraped(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    app = create_app(Settings(models_dir=tmp_path))
    families = list(QueueGauges(app.state.pipeline, set()).collect())
    assert "tasteprint_windows_waiting" in {family.name for family in families}
