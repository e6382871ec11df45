"""Cache interface, factory, and in-memory LRU cache.

A cache failure fails no request.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Protocol

from service.cache.redis import RedisCache
from service.observability.events import NO_LISTENER, EventListener
from service.schemas.responses import CachedAnswer
from service.settings import Settings


class Cache(Protocol):
    """Interface of both caches; a miss is `None`."""

    async def get(self, key: str) -> CachedAnswer | None: ...
    async def put(self, key: str, value: CachedAnswer) -> None: ...
    def describe(self) -> str: ...
    async def close(self) -> None: ...


def cache_key(audio_sha256: str, window: str, model: str) -> str:
    """The key of an answer: by the audio's content hash, never by its length or file name.

    Parameters
    ----------
    model : `Model.identity`: the bundle's digest, and the graph's where it is not float32
    """
    return f"{model}:{audio_sha256}:{window}"


def open_cache(settings: Settings, listener: EventListener = NO_LISTENER) -> Cache:
    """Redis where its URL is set, else in-memory. Connects to Redis at first use."""
    if settings.redis_url is not None:
        return RedisCache(settings, listener)
    return MemoryCache(settings.cache_entries, settings.cache_ttl_s)


class MemoryCache:
    """In-memory LRU cache of `entries` answers, each kept for `ttl_s` seconds."""

    def __init__(self, entries: int, ttl_s: float) -> None:
        self._max_entries, self._ttl_s = entries, ttl_s
        self._entries: OrderedDict[str, tuple[float, CachedAnswer]] = OrderedDict()

    async def get(self, key: str) -> CachedAnswer | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_at, value = entry
        if expires_at < time.monotonic():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    async def put(self, key: str, value: CachedAnswer) -> None:
        self._entries[key] = (time.monotonic() + self._ttl_s, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def describe(self) -> str:
        return f"in the process, {self._max_entries} entries"

    async def close(self) -> None:
        self._entries.clear()
