"""The running service with a failing Redis: the same answers, without delay."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis

from tests.bundles import write_bundle
from tests.redis_server import RedisServer, Way, redis_running, way_to
from tests.running import DEADLINE_S, Service, running, wait_until
from tests.sounds import golden, write

TIMEOUT_S = 0.2
CROWD = 200
SECRET = "the-password-of-redis"


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with redis_running("--requirepass", SECRET) as server:
        yield server


@pytest.fixture(scope="module")
def way(redis_server: RedisServer) -> Iterator[Way]:
    with way_to(redis_server.port) as way:
        yield way


@pytest.fixture(scope="module")
def cached(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a small model, on whose way to Redis the tests stand."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "models").mkdir()
    write_bundle(folder / "models", "levels")
    settings = {
        "models_dir": folder / "models",
        "default_model": "levels",
        "decode_workers": 1,
        "max_in_flight": CROWD,
        "redis_url": way.url.replace("redis://", f"redis://:{SECRET}@"),
        "redis_timeout_ms": round(TIMEOUT_S * 1000),
        "redis_pause_s": 0.1,
        "deadline_s": DEADLINE_S,
    }
    with running(folder / "log", **settings) as service:
        yield service


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("clip") / "a.wav", golden(1.0, 8_000, 1), 8_000)


def without_cached(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in answer.items() if name != "cached"}


def other_clips(clip: Path) -> list[bytes]:
    """Files that differ in their last sample."""
    content = clip.read_bytes()
    return [content[:-2] + np.int16(i).tobytes() for i in range(CROWD)]


def post_together(service: Service, files: list[bytes]) -> list[dict[str, Any]]:
    async def scenario() -> list[dict[str, Any]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=service.url, limits=limits, timeout=DEADLINE_S
        ) as client:
            posts = (client.post("/embed", files={"file": content}) for content in files)
            answers = await asyncio.gather(*posts)
        assert {answer.status_code for answer in answers} == {200}
        return [answer.json() for answer in answers]

    return asyncio.run(scenario())


def spoil_frozen(redis_server: RedisServer, way: Way) -> None:
    os.kill(redis_server.pid(), signal.SIGSTOP)


def spoil_late(redis_server: RedisServer, way: Way) -> None:
    way.delay_s = 2.0


def spoil_garbage(redis_server: RedisServer, way: Way) -> None:
    way.spoilt = lambda _: b"*3\r\n$-7\r\nnonsense\r\n"


def mend(redis_server: RedisServer, way: Way) -> None:
    os.kill(redis_server.pid(), signal.SIGCONT)
    way.delay_s, way.spoilt = 0.0, None


@pytest.mark.parametrize("spoil", [spoil_frozen, spoil_late, spoil_garbage])
def test_answers_are_right_while_redis_fails(
    cached: Service,
    redis_server: RedisServer,
    way: Way,
    clip: Path,
    spoil: Callable[[RedisServer, Way], None],
) -> None:
    first = without_cached(cached.embedding(clip))
    wait_until(lambda: cached.embedding(clip)["cached"], "Redis is used")
    spoil(redis_server, way)
    try:
        for _ in range(5):
            assert without_cached(cached.embedding(clip)) == first
        ready = cached.http.get("/readyz")
        assert ready.status_code == 200  # replicas do not all leave with their Redis
        assert "not answering" in ready.json()["cache"]
    finally:
        mend(redis_server, way)
    wait_until(lambda: cached.embedding(clip)["cached"], "Redis is used again")
    assert without_cached(cached.embedding(clip)) == first
    assert "not answering" not in cached.http.get("/readyz").json()["cache"]


def test_a_crowd_is_answered_while_redis_is_frozen_over_few_connections(
    cached: Service, redis_server: RedisServer, way: Way, clip: Path
) -> None:
    wait_until(lambda: cached.embedding(clip)["cached"], "Redis is used")
    files = other_clips(clip)
    first = post_together(cached, files)
    wait_until(lambda: cached.embedding(clip)["cached"], "Redis is used")
    os.kill(redis_server.pid(), signal.SIGSTOP)
    try:
        connections = way.connections
        second = post_together(cached, files)
    finally:
        mend(redis_server, way)
    assert list(map(without_cached, second)) == list(map(without_cached, first))
    assert not any(answer["cached"] for answer in second)
    assert way.connections - connections <= 20


def test_the_password_is_nowhere_to_be_seen(
    cached: Service, redis_server: RedisServer, way: Way, clip: Path
) -> None:
    way.spoilt = lambda command: (
        b"-ERR unknown command, with: " + command.replace(b"\r\n", b" ") + b"\r\n"
    )
    try:
        with redis.Redis(port=redis_server.port, password=SECRET) as client:
            client.client_kill_filter(skipme=True, _type="normal")
        cached.embedding(clip)
        cached.embedding(clip)
        seen = cached.log() + cached.http.get("/readyz").text + cached.http.get("/models").text
    finally:
        mend(redis_server, way)
    assert "does not answer" in seen
    assert SECRET not in seen
