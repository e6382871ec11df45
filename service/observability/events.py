"""Observer: what the stages tell of themselves as they work."""

from __future__ import annotations

from typing import Literal

CacheResult = Literal["hit", "miss"]
# `unanswered`: Redis is not there or too slow. `refused`: an error was its answer (it is full).
# `damaged`: what it kept is not what was written.
CacheFailure = Literal["unanswered", "refused", "damaged"]
# `crashed`: by what it read. `lost`: ended from outside.
Death = Literal["crashed", "timed-out", "lost"]


class Observer:
    """Takes no notice; `metrics.Metrics` does."""

    def batch(self, model: str, windows: int) -> None:
        """A model is about to run on that many windows."""

    def cache(self, result: CacheResult) -> None:
        """An answer was looked up."""

    def cache_failed(self, why: CacheFailure) -> None:
        """The cache could not do what it was asked for; nobody's request failed of it."""

    def decoder_died(self, cause: Death) -> None:
        """A decoder process has ended and is replaced."""


SILENT = Observer()
