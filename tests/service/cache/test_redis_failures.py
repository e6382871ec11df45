"""Redis failures: the cache answers in time, and never with a wrong value."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis

from service.cache import redis_connection
from service.cache.redis import PREFIX, RedisCache
from service.cache.redis_connection import MAX_CONNECTIONS
from service.schemas.responses import AudioHeard, CachedAnswer, WindowUsed
from service.settings import Settings
from tests.redis_server import RedisServer, free_port, redis_running, way_to
from tests.running import DEADLINE_S

T = TypeVar("T")

TIMEOUT_S = 0.2
CROWD = 200
SECRET = "the-password-of-redis"

COMPUTED = CachedAnswer(
    outputs={"embedding": [0.1, -0.2], "features": [1.5]},
    window=WindowUsed(starts=[0.0], seconds=30.0, how="start"),
    audio=AudioHeard(sha256="0" * 64, duration=1.0, codec="mp3", rate=44_100, channels=2),
)


def open_cache(url: str, pause_s: float = 60.0, timeout_s: float = TIMEOUT_S) -> RedisCache:
    settings = {"redis_timeout_ms": timeout_s * 1000, "redis_pause_s": pause_s, "redis_url": url}
    return RedisCache(Settings.model_validate(settings))


async def wait_until_stored(cache: RedisCache, key: str = "key") -> None:
    """Wait until the cache stores and finds a value."""
    end = time.monotonic() + DEADLINE_S
    while await cache.get(key) is None:
        assert time.monotonic() < end, cache.describe()
        await cache.put(key, COMPUTED)
        await asyncio.sleep(0.01)


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """What a call returns that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as returned:
        result: T = returned.value
        return result
    call.close()
    raise AssertionError("the call waits")


@pytest.fixture
def read_keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that requests read from Redis, in order; the probe's are left out."""
    keys: list[str] = []
    get = Redis.get

    def noting_get(redis: Redis, name: str) -> Any:
        if name != PREFIX + "?":
            keys.append(name)
        return get(redis, name)

    monkeypatch.setattr(Redis, "get", noting_get)
    return keys


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with redis_running() as server:
        yield server


@contextmanager
def refusing() -> Iterator[str]:
    yield f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"


@contextmanager
def frozen() -> Iterator[str]:
    with redis_running() as server:
        os.kill(server.pid(), signal.SIGSTOP)
        yield server.url  # SIGKILL ends also what is stopped


@contextmanager
def asleep() -> Iterator[str]:
    """Two seconds late, as in DEBUG SLEEP 2."""
    with (
        redis_running("--enable-debug-command", "yes") as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(b"DEBUG SLEEP 2\r\n")
        yield server.url


@contextmanager
def nameless() -> Iterator[str]:
    yield "redis://no-such-host.invalid:6379/0"


@contextmanager
def wanting(password: str) -> Iterator[str]:
    with redis_running("--requirepass", "another-one") as server:
        yield f"redis://{password}127.0.0.1:{server.port}/0"


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    with way_to(spoilt=lambda _: content) as way:
        yield way.url.replace("redis://", f"redis://:{SECRET}@")


GARBAGE = {
    "no RESP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no number": b"$abc\r\n",
    "a length that never comes": b"$999999999999\r\nabc",
    "lists in lists": b"*1\r\n" * 5_000,
    "bytes of no meaning": bytes(range(256)) * 40,
    "an endless line": b"+" + b"x" * 300_000,
    "nothing": b"",
}
DEAD: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "refuses connections": refusing,
    "frozen": frozen,
    "asleep": asleep,
    "of no known name": nameless,
    "wants a password": partial(wanting, ""),
    "wants another password": partial(wanting, f":{SECRET}@"),
    **{f"says {name}": partial(answering, content) for name, content in GARBAGE.items()},
}


@pytest.mark.parametrize("dead", DEAD.values(), ids=DEAD)
def test_concurrent_requests_wait_for_a_dead_redis_once_and_later_ones_never(
    dead: Callable[[], AbstractContextManager[str]],
    caplog: pytest.LogCaptureFixture,
    read_keys: list[str],
) -> None:
    """For the first probe alone, together; none sends a command of its own to wait for."""

    async def scenario(url: str) -> None:
        cache = open_cache(url)
        assert await asyncio.gather(*(cache.get(str(i)) for i in range(CROWD))) == [None] * CROWD
        assert read_keys == []
        assert "not answering" in cache.describe()
        for i in range(CROWD):
            assert at_once(cache.get(str(i))) is None
            at_once(cache.put(str(i), COMPUTED))
        await cache.close()

    with dead() as url:
        asyncio.run(scenario(url))
    assert len(caplog.records) == 1
    assert "does not answer" in caplog.text
    assert SECRET not in caplog.text


@contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    os.kill(server.pid(), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid(), signal.SIGCONT)


def test_a_frozen_redis_gets_few_connections(
    redis_server: RedisServer, read_keys: list[str]
) -> None:
    """Also while Redis is in use: few requests wait, once, and none keeps a socket."""

    async def scenario() -> None:
        cache = open_cache(redis_server.url, pause_s=0.05, timeout_s=timeout_s)
        await wait_until_stored(cache)
        assert await asyncio.gather(*(cache.get("key") for _ in range(CROWD))) == [COMPUTED] * CROWD
        files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with stopped(redis_server):
            read_keys.clear()
            for _ in range(3):
                missed = await asyncio.gather(*(cache.get("key") for _ in range(CROWD)))
                assert missed == [None] * CROWD
            assert len(read_keys) <= MAX_CONNECTIONS
            assert len(os.listdir("/proc/self/fd")) <= files  # noqa: PTH208
        await wait_until_stored(cache)
        await cache.close()

    timeout_s = 5.0  # a crowd is to be answered within it, as long as Redis is not frozen
    with redis_server.client as client:
        before = client.info("stats")["total_connections_received"]
    asyncio.run(scenario())
    with redis_server.client as client:
        made = client.info("stats")["total_connections_received"] - before
    # The crowd's, those in the background (before, while and after), and this test's own.
    assert made <= MAX_CONNECTIONS + 4


def test_a_slow_name_is_resolved_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolution cannot be cancelled and goes on in its thread: there must be only one."""
    asked: list[object] = []
    end = threading.Event()

    def slow(*arguments: object, **_: object) -> list[object]:
        asked.append(arguments[0])
        end.wait(DEADLINE_S)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async def scenario() -> None:
        cache = open_cache("redis://redis.example.org/0", pause_s=0.05)
        assert await asyncio.gather(*(cache.get(str(i)) for i in range(CROWD))) == [None] * CROWD
        for _ in range(20):  # some ten attempts
            for i in range(CROWD):
                assert at_once(cache.get(str(i))) is None
            await asyncio.sleep(0.05)
        assert asked == ["redis.example.org"]
        end.set()
        await cache.close()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(redis_connection, "CONNECT_S", 0.05)
    asyncio.run(scenario())


def test_redis_by_an_address_of_version_6() -> None:
    async def scenario(port: int) -> None:
        cache = open_cache(f"redis://[::1]:{port}/0")
        await wait_until_stored(cache)
        await cache.close()

    with redis_running("--bind", "127.0.0.1", "::1") as server:
        asyncio.run(scenario(server.port))


def test_redis_is_used_again_soon_after_one_late_answer(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        cache = open_cache(way.url)  # its pause is a minute, but not the first
        await wait_until_stored(cache)
        way.delay_s = 2 * TIMEOUT_S
        assert await cache.get("key") is None
        way.delay_s = 0.0
        await wait_until_stored(cache)
        await cache.close()

    with way_to(redis_server.port) as way:
        asyncio.run(scenario())


def test_a_redis_that_is_always_late_is_not_waited_for(redis_server: RedisServer) -> None:
    """Redis accepts connections, given time; requests must not each find out that it is slow."""

    async def scenario() -> None:
        cache = open_cache(way.url, pause_s=0.05)
        await wait_until_stored(cache)
        way.delay_s = 1.5 * TIMEOUT_S
        assert await cache.get("key") is None
        for _ in range(20):
            assert at_once(cache.get("key")) is None
            await asyncio.sleep(0.02)
        await cache.close()

    with way_to(redis_server.port) as way:
        asyncio.run(scenario())
