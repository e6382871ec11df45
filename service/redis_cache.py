"""The cache in Redis: shared by replicas, and left alone for a moment when it fails."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable
from typing import Any

from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.answers import Computed
from service.observer import SILENT, Observer
from service.settings import Settings

# Part of every key: raised when the value's layout changes, so that replicas of two versions
# share a Redis without reading each other's entries.
PREFIX = "tasteprint:2:"
CHECKSUM_BYTES = 16

log = logging.getLogger("tasteprint")


class RedisCache:
    """Each call waits `redis_timeout_ms` at most; after a failure it is a miss for a while."""

    def __init__(self, settings: Settings, observer: Observer = SILENT) -> None:
        self._observer = observer
        self._timeout_s = settings.redis_timeout_ms / 1000
        self._pause_s = settings.redis_pause_s
        self._ttl_s = settings.cache_ttl_s
        self._asked_again_at = 0.0
        self._failing = False
        url = settings.redis_url
        assert url is not None
        self._where = f"{url.host}:{url.port or 6379}"
        self._redis = Redis.from_url(
            str(url),
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
        )

    async def get(self, key: str) -> Computed | None:
        value = await self._ask(lambda: self._redis.get(PREFIX + key))
        found = decode(value) if isinstance(value, bytes) else None
        if found is None and value is not None:
            self._observer.cache_failed("damaged")
        return found

    async def put(self, key: str, value: Computed) -> None:
        await self._ask(lambda: self._redis.set(PREFIX + key, encode(value), ex=self._ttl_s))

    async def _ask(self, command: Any) -> object:
        if time.monotonic() < self._asked_again_at:
            return None
        try:
            # Around the socket's own timeouts: name resolution and hand-shakes count too.
            async with asyncio.timeout(self._timeout_s):
                answer: Awaitable[object] = command()
                value = await answer
        except (RedisError, OSError, TimeoutError) as error:
            self._asked_again_at = time.monotonic() + self._pause_s
            self._observer.cache_failed("unanswered")
            self._note(failing=True, why=f"{type(error).__name__}: {error}")
            return None
        self._note(failing=False)
        return value

    def _note(self, *, failing: bool, why: str = "") -> None:
        if failing and not self._failing:
            log.warning("Redis at %s does not answer, going on without it (%s)", self._where, why)
        elif self._failing and not failing:
            log.info("Redis at %s answers again", self._where)
        self._failing = failing

    def describe(self) -> str:
        return f"Redis at {self._where}" + (" (not answering)" if self._failing else "")

    async def close(self) -> None:
        await self._redis.aclose()


def encode(value: BaseModel) -> bytes:
    """A checksum and JSON: nothing that is run on reading, as a pickle would be."""
    content = value.model_dump_json().encode()
    return _checksum(content) + content


def decode(stored: bytes) -> Computed | None:
    """What `encode` wrote; `None` where it was damaged on the way."""
    checksum, content = stored[:CHECKSUM_BYTES], stored[CHECKSUM_BYTES:]
    if checksum != _checksum(content):
        return None
    try:
        return Computed.model_validate_json(content)
    except ValidationError:
        return None


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=CHECKSUM_BYTES).digest()
