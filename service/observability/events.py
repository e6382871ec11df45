"""Event listener: interface by which components report events; the metrics implement it."""

from __future__ import annotations

from typing import Literal

CacheResult = Literal["hit", "miss"]
# `unanswered`: Redis is unreachable or too slow. `refused`: Redis answered with an error (it is
# full). `damaged`: the stored entry fails its checksum.
CacheFailure = Literal["unanswered", "refused", "damaged"]
# `crashed`: by a signal while decoding a file. `lost`: killed from outside.
ExitCause = Literal["crashed", "timed-out", "lost"]


class EventListener:
    """Event listener that ignores every event; `metrics.Metrics` counts them."""

    def model_loaded(self, model: str) -> None:
        """A model has its sessions and its queue, at the start or at its first request."""

    def batch(self, model: str, windows: int) -> None:
        """A model is about to run on a batch of that many windows."""

    def cache(self, result: CacheResult) -> None:
        """An answer was looked up in the cache."""

    def cache_failed(self, cause: CacheFailure) -> None:
        """The cache failed; the request continues without it."""

    def decoder_exited(self, cause: ExitCause) -> None:
        """A decoder process exited, and is replaced."""


NO_LISTENER = EventListener()
