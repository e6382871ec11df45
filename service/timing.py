"""What each stage of a request took, for the standard `Server-Timing` header."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timing:
    """Milliseconds by stage, in the order in which they came.

    Several models pass a stage at the same time: what counts is the one that takes longest.
    """

    def __init__(self) -> None:
        self.stages_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, 1e3 * (time.perf_counter() - started))

    def add(self, name: str, ms: float) -> None:
        self.stages_ms[name] = max(self.stages_ms.get(name, 0.0), ms)

    def header(self) -> str:
        return ", ".join(f"{name};dur={ms:.2f}" for name, ms in self.stages_ms.items())
