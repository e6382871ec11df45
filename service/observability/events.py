"""Event listener: the interface by which stages report events, implemented by the metrics."""

from __future__ import annotations

from typing import Literal

CacheResult = Literal["hit", "miss"]
# `unanswered`: Redis is unreachable or too slow. `refused`: Redis answered with an error (it is
# full). `damaged`: the stored entry is not the one that was written.
CacheFailure = Literal["unanswered", "refused", "damaged"]
# `crashed`: by the file that was decoded. `lost`: killed from outside.
Death = Literal["crashed", "timed-out", "lost"]


class EventListener:
    """Listener that ignores every event; `metrics.Metrics` counts them."""

    def batch(self, model: str, windows: int) -> None:
        """A model is about to run on that many windows."""

    def cache(self, result: CacheResult) -> None:
        """An answer was looked up in the cache."""

    def cache_failed(self, why: CacheFailure) -> None:
        """The cache failed; the request goes on without it."""

    def decoder_died(self, cause: Death) -> None:
        """A decoder process has ended, and is replaced."""


NO_LISTENER = EventListener()
