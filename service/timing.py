"""What each stage of a request took, for the standard `Server-Timing` header."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timing:
    """Milliseconds by stage, in the order in which they came.

    Several models pass a stage at the same time: what counts is the one that takes longest.

    Attributes
    ----------
    ended_s : when each stage ended, on the clock of `time.perf_counter`
    running : the stages that are under way
    """

    def __init__(self) -> None:
        self.stages_ms: dict[str, float] = {}
        self.ended_s: dict[str, float] = {}
        self.running: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self.running.append(name)
        try:
            yield
        finally:
            self.running.remove(name)
            self.add(name, 1e3 * (time.perf_counter() - started))

    def add(self, name: str, ms: float, *, ago_ms: float = 0.0) -> None:
        """A stage took `ms` and ended `ago_ms` ago."""
        if ms >= self.stages_ms.get(name, 0.0):
            self.stages_ms[name] = ms
            self.ended_s[name] = time.perf_counter() - ago_ms / 1e3

    def header(self) -> str:
        return ", ".join(f"{name};dur={ms:.2f}" for name, ms in self.stages_ms.items())
