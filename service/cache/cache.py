"""Cache: what was computed is remembered, in the process or in Redis. It never fails a request."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Protocol

from service.cache.redis import RedisCache
from service.observability.events import SILENT, Observer
from service.schemas.responses import Computed
from service.settings import Settings


class Cache(Protocol):
    """Remembers answers; a miss is `None`."""

    async def get(self, key: str) -> Computed | None: ...
    async def put(self, key: str, value: Computed) -> None: ...
    def describe(self) -> str: ...
    async def close(self) -> None: ...


def cache_key(audio_sha256: str, window: str, model: str) -> str:
    """The content's hash, never its length or name: equal-length clips are not equal.

    Parameters
    ----------
    model : identity of what runs: the bundle's digest, and the graph's where it is not float32
    """
    return f"{model}:{audio_sha256}:{window}"


def open_cache(settings: Settings, observer: Observer = SILENT) -> Cache:
    """Redis where there is a URL, else the process's memory. Connects at the first use."""
    if settings.redis_url is not None:
        return RedisCache(settings, observer)
    return MemoryCache(settings.cache_entries, settings.cache_ttl_s)


class MemoryCache:
    """The `entries` answers used last, each for `ttl_s` seconds."""

    def __init__(self, entries: int, ttl_s: float) -> None:
        self._entries, self._ttl_s = entries, ttl_s
        self._kept: OrderedDict[str, tuple[float, Computed]] = OrderedDict()

    async def get(self, key: str) -> Computed | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        expires, value = kept
        if expires < time.monotonic():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    async def put(self, key: str, value: Computed) -> None:
        self._kept[key] = (time.monotonic() + self._ttl_s, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)

    def describe(self) -> str:
        return f"in the process, {self._entries} entries"

    async def close(self) -> None:
        self._kept.clear()
