"""A Redis that is up: full, read-only, with damaged entries, over TLS, by a bad URL."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cache.redis import PREFIX, encode
from service.errors import CannotStart
from tests.redis_server import RedisServer, free_port, redis_running
from tests.running import DEADLINE_S
from tests.service.cache.test_redis_failures import (
    COMPUTED,
    SECRET,
    answering,
    open_cache,
    wait_until_stored,
)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with redis_running() as server:
        yield server


def test_a_full_redis_is_still_read(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        cache = open_cache(redis_server.url, timeout_s=DEADLINE_S)
        await wait_until_stored(cache)
        redis_server.set(maxmemory=1, maxmemory_policy="noeviction")
        try:
            for i in range(5):
                await cache.put(f"more {i}", COMPUTED)
                assert await cache.get("key") == COMPUTED
                assert await cache.get(f"more {i}") is None
            assert cache.describe().endswith("(refuses SET: OOM)")
        finally:
            redis_server.set(maxmemory=0)
        await cache.put("more", COMPUTED)
        assert await cache.get("more") == COMPUTED
        assert "refuses" not in cache.describe()
        await cache.close()

    asyncio.run(scenario())
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_read_only_replica_is_read(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        cache = open_cache(redis_server.url, timeout_s=DEADLINE_S)
        await wait_until_stored(cache)
        with redis_server.client as client:
            client.replicaof("127.0.0.1", free_port())  # of none that is there
            await cache.put("more", COMPUTED)
            assert await cache.get("key") == COMPUTED
            assert cache.describe().endswith("(refuses SET: READONLY)")
            client.replicaof("NO", "ONE")
        await cache.put("more", COMPUTED)
        assert await cache.get("more") == COMPUTED
        await cache.close()

    asyncio.run(scenario())


GOOD = encode("key", COMPUTED)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\x80\x04garbage",
        GOOD[:-1],
        GOOD[: len(GOOD) // 2],
        GOOD.replace(b"0.1", b"0.2"),
        GOOD.replace(b"tp4:", b"tp3:"),
        GOOD[4:],
        encode("another key", COMPUTED),
        bytes(1 << 20),
        ["a", "list"],
    ],
)
def test_a_damaged_entry_is_a_miss_and_is_overwritten(
    redis_server: RedisServer, entry: bytes | list[str]
) -> None:
    async def scenario() -> None:
        cache = open_cache(redis_server.url, timeout_s=DEADLINE_S)
        await wait_until_stored(cache)
        with redis_server.client as client:
            client.delete(PREFIX + "key")
            if isinstance(entry, list):
                client.rpush(PREFIX + "key", *entry)
            else:
                client.set(PREFIX + "key", entry)
        assert await cache.get("key") is None
        assert "not answering" not in cache.describe()
        await cache.put("key", COMPUTED)
        assert await cache.get("key") == COMPUTED
        await cache.close()

    asyncio.run(scenario())


def test_an_error_that_repeats_the_password_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An old Redis repeats the arguments of a command that it does not know."""
    response = f"-ERR unknown command `AUTH`, with args beginning with: `{SECRET}`,\r\n".encode()

    async def scenario(url: str) -> None:
        cache = open_cache(url)
        assert await cache.get("key") is None
        assert SECRET not in cache.describe()
        await cache.close()

    with answering(response) as url:
        asyncio.run(scenario(url))
    assert caplog.records
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@127.0.0.1/0?decode_responses=true",
        f"redis://:{SECRET}@127.0.0.1/0?max_connections=1000",
        f"redis://:{SECRET}@127.0.0.1/0?ssl_ca_certs=x",
        f"rediss://:{SECRET}@127.0.0.1/0?ssl_nonsense=x",
        f"redis://:{SECRET}@127.0.0.1/0?db=x",
    ],
)
def test_a_bad_option_of_the_url_is_reported_without_the_password(url: str) -> None:
    with pytest.raises(CannotStart, match="TASTEPRINT_REDIS_URL") as refused:
        open_cache(url)
    assert SECRET not in f"{refused.value} {refused.value.value} {refused.value.__context__}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that it has signed itself, with `key.pem` beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        shlex.split(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
            "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 "
            "-keyout key.pem -out certificate.pem"
        ),
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "certificate.pem"


def test_redis_by_tls(certificate: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(server: RedisServer) -> None:
        where = f"rediss://:{SECRET}@127.0.0.1:{tls_port}/0"
        cache = open_cache(f"{where}?ssl_ca_certs={certificate}")
        await wait_until_stored(cache)
        os.kill(server.pid(), signal.SIGSTOP)
        async with asyncio.timeout(DEADLINE_S):
            assert await cache.get("key") is None
            await cache.close()  # without waiting for the frozen peer
        os.kill(server.pid(), signal.SIGCONT)
        strange = open_cache(where)  # the certificate's issuer is unknown
        assert await strange.get("key") is None
        assert "not answering" in strange.describe()
        await strange.close()

    key, tls_port = certificate.with_name("key.pem"), free_port()
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    options = ("--tls-port", str(tls_port), "--tls-auth-clients", "no", *files)
    with redis_running(*options, "--requirepass", SECRET) as server:
        asyncio.run(scenario(server))
    assert SECRET not in caplog.text
