"""Cache interface, factory, and in-memory LRU cache.

A cache failure fails no request.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import Protocol

from service.cache.redis import RedisCache
from service.observability.events import NO_LISTENER, EventListener
from service.schemas.responses import CachedAnswer
from service.settings import Settings

# Numbers that one entry of the limit holds, about 15 KB of memory: embedding and features of a
# default model fit, and an answer with levels counts as several entries.
NUMBERS_PER_ENTRY = 400


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
    """In-memory LRU cache of `entries` answers, each kept for `ttl_s` seconds.

    A large answer counts as several entries (`count_entries`), so that the limit bounds the memory;
    one that alone exceeds the limit is not stored.
    """

    def __init__(self, entries: int, ttl_s: float) -> None:
        self._max_entries, self._ttl_s = entries, ttl_s
        self._answers: OrderedDict[str, tuple[float, CachedAnswer]] = OrderedDict()
        self._n_entries = 0

    async def get(self, key: str) -> CachedAnswer | None:
        found = self._answers.get(key)
        if found is None:
            return None
        expires_at, value = found
        if expires_at < time.monotonic():
            self._remove(key)
            return None
        self._answers.move_to_end(key)
        return value

    async def put(self, key: str, value: CachedAnswer) -> None:
        self._remove(key)
        n_entries = count_entries(value)
        if n_entries > self._max_entries:  # it would evict all others, and itself
            return
        while self._n_entries + n_entries > self._max_entries:
            self._remove(next(iter(self._answers)))
        self._answers[key] = (time.monotonic() + self._ttl_s, value)
        self._n_entries += n_entries

    def _remove(self, key: str) -> None:
        _, value = self._answers.pop(key, (0.0, None))
        if value is not None:
            self._n_entries -= count_entries(value)

    def describe(self) -> str:
        return f"in the process, {self._max_entries} entries"

    async def close(self) -> None:
        self._answers.clear()
        self._n_entries = 0


def count_entries(value: CachedAnswer) -> int:
    """Number of entries that an answer counts as: one for each 400 numbers begun."""
    n_numbers = sum(map(len, value.outputs.values()))
    return max(1, math.ceil(n_numbers / NUMBERS_PER_ENTRY))
