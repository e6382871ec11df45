"""The cache in Redis: shared by replicas; while it fails, no request waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from service.cache.redis_connection import MAX_CONNECTIONS, Link, Name, open_pool, reason
from service.observability.events import SILENT, Observer
from service.schemas.responses import Computed
from service.settings import Settings

# Part of every key: raised when the value's layout changes, so that replicas of two versions
# share a Redis without reading each other's entries.
PREFIX = "tasteprint:3:"
# The layout once more, in the value: a key can be written by anyone.
LAYOUT = b"tp3:"
CHECKSUM_BYTES = 16

log = logging.getLogger("tasteprint")


class RedisCache:
    """Each call waits `redis_timeout_ms` at most; none waits once one has failed.

    Redis is then tried in the background, by one task, until it answers in time again: that is
    never a request's to pay for. An answer that is an error (full, read-only, a key of another
    type) is a miss, and no reason to ask no more: Redis lives and says so quickly.
    """

    def __init__(self, settings: Settings, observer: Observer = SILENT) -> None:
        self._observer = observer
        url = settings.redis_url
        assert url is not None
        self._timeout_s = settings.redis_timeout_ms / 1000
        self._ttl_s = settings.cache_ttl_s
        host, port = url.host or "localhost", url.port or 6379
        self._where = f"{host}:{port}"
        self._name = Name(host.strip("[]"), port)
        self._redis = Redis.from_pool(open_pool(str(url)))
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)
        self._link = Link(self._where, self._try, self._timeout_s, settings.redis_pause_s)
        # What is answered with an error at present, and which.
        self._refused: dict[str, str] = {}

    async def get(self, key: str) -> Computed | None:
        value = await self._ask("GET", lambda: self._redis.get(PREFIX + key))
        found = decode(key, value) if isinstance(value, bytes) else None
        if found is None and value is not None:
            self._observer.cache_failed("damaged")
        return found

    async def put(self, key: str, value: Computed) -> None:
        content = encode(key, value)
        await self._ask("SET", lambda: self._redis.set(PREFIX + key, content, ex=self._ttl_s))

    async def _ask(self, verb: str, command: Callable[[], object]) -> object:
        if not await self._link.usable():
            self._observer.cache_failed("unanswered")
            return None
        try:
            # Around all of it: the wait for a connection, and its making, count too.
            async with asyncio.timeout(self._timeout_s), self._connections:
                if self._link.lost:  # while this waited for its turn
                    return None
                value = await cast(Awaitable[object], command())
        except ResponseError as error:
            self._observer.cache_failed("refused")
            self._note(verb, reason(error))
            return None
        except Exception as error:  # whatever a client makes of garbage: it must cost no request
            self._observer.cache_failed("unanswered")
            self._link.lose(error)
            return None
        self._note(verb, None)
        return value

    async def _try(self) -> None:
        """Ask as `get` does, of a key that is never there: whoever may do nothing else may this."""
        await self._name.resolves()
        await cast(Awaitable[object], self._redis.get(PREFIX + "?"))

    def _note(self, verb: str, why: str | None) -> None:
        known = self._refused.get(verb)
        if why is not None:
            self._refused[verb] = why
        elif known is not None:
            del self._refused[verb]
        if why is not None and known is None:
            log.warning("Redis at %s refuses %s (%s)", self._where, verb, why)
        elif why is None and known is not None:
            log.info("Redis at %s takes %s again", self._where, verb)

    def describe(self) -> str:
        if not self._link.holds:
            return f"Redis at {self._where} (not answering)"
        refused = "".join(f" (refuses {verb}: {why})" for verb, why in self._refused.items())
        return f"Redis at {self._where}{refused}"

    async def close(self) -> None:
        await self._link.close()
        # A connection to a frozen Redis may not close by itself.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._timeout_s):
                await self._redis.aclose(close_connection_pool=True)


def encode(key: str, value: BaseModel) -> bytes:
    """Layout, checksum and JSON: nothing that is run on reading, as a pickle would be."""
    content = value.model_dump_json().encode()
    return LAYOUT + _checksum(key, content) + content


def decode(key: str, stored: bytes) -> Computed | None:
    """What `encode` wrote for that key.

    None where it was damaged on the way, written by another version, or is another key's entry.
    """
    start = len(LAYOUT) + CHECKSUM_BYTES
    head, content = stored[:start], stored[start:]
    if head != LAYOUT + _checksum(key, content):
        return None
    try:
        return Computed.model_validate_json(content)
    except ValidationError:
        return None


def _checksum(key: str, content: bytes) -> bytes:
    # Of the key too: an answer that came to the wrong question is then a miss.
    said = len(key).to_bytes(4) + key.encode() + content
    return hashlib.blake2b(said, digest_size=CHECKSUM_BYTES).digest()
