"""A real Redis: shared, stopped, hung, restarted; the service keeps answering."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import small_models
from tests.redis_server import RedisServer, free_port, redis_running
from tests.running import Service, running, wait_until
from tests.service.scrapes import scrape
from tests.sounds import golden, write


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with redis_running() as server:
        yield server


@pytest.fixture(scope="module")
def cached(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose only cache is that Redis."""
    output = tmp_path_factory.mktemp("redis") / "log"
    settings = {"redis_url": redis_server.url, "redis_pause_s": 0.1, **small_models(output.parent)}
    # Generous, so that a healthy Redis is never taken for a hung one; the hung one costs it once.
    with running(output, redis_timeout_ms=1000, **settings) as service:
        yield service


def test_the_banner_names_redis_but_no_password(tmp_path: Path) -> None:
    url = f"redis://user:secret@127.0.0.1:{free_port()}/0"
    with running(tmp_path / "log", **small_models(tmp_path), redis_url=url) as service:
        service.embedding(write(tmp_path / "a.wav", golden(1.0)))
        assert "Redis at 127.0.0.1:" in service.log()
        assert "secret" not in service.log()


def test_redis_is_used(redis_server: RedisServer, cached: Service, tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", golden(2.0, seed=80))
    first, second = cached.embedding(path), cached.embedding(path)
    assert (first.pop("cached"), second.pop("cached")) == (False, True)
    assert first == second
    (key,) = redis_server.stored()
    assert first["audio"]["sha256"] in key.decode()
    with redis_server.client as client:
        assert client.ttl(key) > 0


def test_a_damaged_entry_is_computed_again(
    redis_server: RedisServer, cached: Service, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.wav", golden(2.0, seed=81))
    first = cached.embedding(path)
    (key,) = (key for key in redis_server.stored() if first["audio"]["sha256"] in key.decode())
    with redis_server.client as client:
        client.set(key, b"\x80\x04damaged")
    assert cached.embedding(path) == first
    assert scrape(cached).value("tasteprint_cache_errors_total", cause="damaged") == 1
    assert cached.embedding(path)["cached"] is True


def test_redis_stopped_and_started_again(
    redis_server: RedisServer, cached: Service, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.wav", golden(2.0, seed=82))
    first = cached.embedding(path)
    redis_server.stop()
    assert cached.embedding(path) == first  # computed again, without an error
    assert cached.embedding(path)["cached"] is False
    assert "not answering" in cached.http.get("/readyz").json()["cache"]
    redis_server.start()
    wait_until(lambda: bool(cached.embedding(path)["cached"]), "Redis is used again")
    assert redis_server.stored()
    assert "answers again" in cached.log()


def test_a_hung_redis_fails_no_request(
    redis_server: RedisServer, cached: Service, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.wav", golden(2.0, seed=83))
    os.kill(redis_server.pid(), signal.SIGSTOP)
    try:
        assert cached.embedding(path)["cached"] is False
    finally:
        os.kill(redis_server.pid(), signal.SIGCONT)
    wait_until(lambda: bool(cached.embedding(path)["cached"]), "Redis is used again")
    assert "Traceback" not in cached.log()
