"""Redis cache with a timeout and a circuit breaker.

It is shared by replicas; while Redis fails, no request waits for Redis.
"""

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

from service.cache.redis_connection import (
    MAX_CONNECTIONS,
    CircuitBreaker,
    DnsResolver,
    describe_error,
    open_pool,
)
from service.observability.events import NO_LISTENER, EventListener
from service.schemas.responses import CachedAnswer
from service.settings import Settings

# Prefix of every key, whose number changes with the value's layout, so that replicas of two
# versions share a Redis without reading each other's entries.
PREFIX = "tasteprint:4:"
# The layout's number again, in the value, since any client of that Redis may write a key.
LAYOUT = b"tp4:"
CHECKSUM_BYTES = 16

log = logging.getLogger("tasteprint")


class RedisCache:
    """Redis cache with a timeout per call (`redis_timeout_ms`) and a circuit breaker.

    After a failure one background task probes Redis until Redis answers in time again; meanwhile
    no request waits for Redis (`CircuitBreaker`). An error response (out of memory, read-only, a
    key of another type) is a miss and leaves the circuit closed: Redis is up and answers quickly.
    """

    def __init__(self, settings: Settings, listener: EventListener = NO_LISTENER) -> None:
        self._listener = listener
        url = settings.redis_url
        assert url is not None
        self._timeout_s = settings.redis_timeout_ms / 1000
        self._ttl_s = settings.cache_ttl_s
        host, port = url.host or "localhost", url.port or 6379
        self._address = f"{host}:{port}"
        self._resolver = DnsResolver(host.strip("[]"), port)
        self._redis = Redis.from_pool(open_pool(str(url)))
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)
        self._breaker = CircuitBreaker(
            self._address, self._probe, self._timeout_s, settings.redis_pause_s
        )
        # Command -> code of the error with which Redis currently responds.
        self._refused: dict[str, str] = {}

    async def get(self, key: str) -> CachedAnswer | None:
        value = await self._call("GET", lambda: self._redis.get(PREFIX + key))
        found = decode(key, value) if isinstance(value, bytes) else None
        if found is None and value is not None:
            self._listener.cache_failed("damaged")
        return found

    async def put(self, key: str, value: CachedAnswer) -> None:
        content = encode(key, value)
        await self._call("SET", lambda: self._redis.set(PREFIX + key, content, ex=self._ttl_s))

    async def _call(self, verb: str, command: Callable[[], object]) -> object:
        if not await self._breaker.allows_call():
            self._listener.cache_failed("unanswered")
            return None
        try:
            # The timeout includes waiting for a connection and connecting.
            async with asyncio.timeout(self._timeout_s), self._connections:
                if self._breaker.is_open:  # opened while this call waited for a connection
                    return None
                value = await cast(Awaitable[object], command())
        except ResponseError as error:
            self._listener.cache_failed("refused")
            self._note_refusal(verb, describe_error(error))
            return None
        except Exception as error:  # also on corrupt data: the cache fails no request
            self._listener.cache_failed("unanswered")
            self._breaker.record_failure(error)
            return None
        self._note_refusal(verb, None)
        return value

    async def _probe(self) -> None:
        """GET a key that never exists: the service's Redis user needs no further permission."""
        await self._resolver.resolve()
        await cast(Awaitable[object], self._redis.get(PREFIX + "?"))

    def _note_refusal(self, verb: str, code: str | None) -> None:
        """Record, and log once, the code of Redis's error response to a command; None: no error."""
        was_refused = verb in self._refused
        if code is not None:
            self._refused[verb] = code
            if not was_refused:
                log.warning("Redis at %s refuses %s (%s)", self._address, verb, code)
        elif was_refused:
            del self._refused[verb]
            log.info("Redis at %s accepts %s again", self._address, verb)

    def describe(self) -> str:
        if not self._breaker.is_healthy:
            return f"Redis at {self._address} (not answering)"
        refused = "".join(f" (refuses {verb}: {code})" for verb, code in self._refused.items())
        return f"Redis at {self._address}{refused}"

    async def close(self) -> None:
        await self._breaker.close()
        # A connection to a frozen Redis may not close by itself.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._timeout_s):
                await self._redis.aclose(close_connection_pool=True)


def encode(key: str, value: BaseModel) -> bytes:
    """Serialise as layout, checksum and JSON; not as a pickle, which could run code when read."""
    content = value.model_dump_json().encode()
    return LAYOUT + _checksum(key, content) + content


def decode(key: str, stored: bytes) -> CachedAnswer | None:
    """The value that `encode` wrote for that key.

    None where the entry is damaged, was written by another version, or belongs to another key.
    """
    start = len(LAYOUT) + CHECKSUM_BYTES
    header, content = stored[:start], stored[start:]
    if header != LAYOUT + _checksum(key, content):
        return None
    try:
        return CachedAnswer.model_validate_json(content)
    except ValidationError:
        return None


def _checksum(key: str, content: bytes) -> bytes:
    # The key is included, so that the value of another key is a miss.
    hashed = len(key).to_bytes(4) + key.encode() + content
    return hashlib.blake2b(hashed, digest_size=CHECKSUM_BYTES).digest()
