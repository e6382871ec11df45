"""Request context: outcome and stage timings of the current request, for log, metrics, trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus

from service.errors import NOT_IMPLEMENTED

# Nginx's status for a client that closed the connection; it is only logged.
CLIENT_DISCONNECTED = 499
NO_REASON = "none"


class StageTimer:
    """Stage timings of one file of a request, for the standard `Server-Timing` header.

    The models of a request pass a stage concurrently: the longest duration counts.

    Attributes
    ----------
    stages_ms : milliseconds by stage, in the order in which stages ended
    ended_s : when each stage ended, on the clock of `time.perf_counter`
    running : names of the current stages
    """

    def __init__(self) -> None:
        self.stages_ms: dict[str, float] = {}
        self.ended_s: dict[str, float] = {}
        self.running: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block of code as that stage, also if the block raises."""
        started_s = time.perf_counter()
        self.running.append(name)
        try:
            yield
        finally:
            self.running.remove(name)
            self.add(name, 1e3 * (time.perf_counter() - started_s))

    def add(self, name: str, ms: float, *, ago_ms: float = 0.0) -> None:
        """Record a stage that took `ms` and ended `ago_ms` ago."""
        if ms >= self.stages_ms.get(name, 0.0):
            self.stages_ms[name] = ms
            self.ended_s[name] = time.perf_counter() - ago_ms / 1e3

    def header(self) -> str:
        """The value of `Server-Timing` (W3C Server Timing, section 3)."""
        return ", ".join([f"{name};dur={ms:.2f}" for name, ms in self.stages_ms.items()])


@dataclass(frozen=True, slots=True)
class ModelOutcome:
    """Outcome of one model for a request.

    Attributes
    ----------
    outcome : `computed`, `cached`, or a value of `outcome_of`
    reason : reason of a refusal or failure, as in `RequestContext.reason`
    """

    model: str
    outcome: str
    reason: str = NO_REASON


@dataclass(slots=True, eq=False)
class RequestContext:
    """Request context: ID, outcome, and stage timings of each file.

    Attributes
    ----------
    started_s : on the clock of `time.perf_counter`
    status : HTTP status of the answer; 0 until the answer begins
    problem : `type` of the problem response; empty without one
    timers : one per file of the request
    """

    request_id: str
    started_s: float = field(default_factory=time.perf_counter)
    received_bytes: int = 0
    sent_bytes: int = 0
    status: int = 0
    problem: str = ""
    timers: list[StageTimer] = field(default_factory=list)
    models: list[ModelOutcome] = field(default_factory=list)

    def new_timer(self) -> StageTimer:
        """A new timer for a file of this request."""
        timer = StageTimer()
        self.timers.append(timer)
        return timer

    @property
    def is_uploading(self) -> bool:
        """Whether the request's body is being received."""
        return any("upload" in timer.running for timer in self.timers)

    def summary(self) -> tuple[str, str, bool | None]:
        """Outcome, reason, and whether every model's answer was cached."""
        return self.outcome, self.reason, self.cached

    @property
    def cached(self) -> bool | None:
        """Whether every model's answer was cached; None if the request used no model."""
        return all(model.outcome == "cached" for model in self.models) if self.models else None

    @property
    def outcome(self) -> str:
        return outcome_of(self.status)

    @property
    def reason(self) -> str:
        """Why the request failed, one of a bounded number of words: `not-audio`, …"""
        if self.outcome == "answered":
            return NO_REASON
        return reason_of(self.problem) or _phrase(self.status)


def outcome_of(status: int) -> str:
    """`answered`, `refused` (client error), `failed` (server error), or `left` (disconnected)."""
    if status in (0, CLIENT_DISCONNECTED):
        return "left"
    if status < 400:
        return "answered"
    return "refused" if status < 500 or status == NOT_IMPLEMENTED else "failed"


def reason_of(problem_type: str) -> str:
    """`urn:tasteprint:not-audio` -> `not-audio`; empty for another namespace."""
    _, _, reason = problem_type.partition("urn:tasteprint:")
    return reason


def _phrase(status: int) -> str:
    if status in (0, CLIENT_DISCONNECTED):
        return "client-left"
    try:
        return HTTPStatus(status).phrase.lower().replace(" ", "-")
    except ValueError:
        return f"status-{status}"


CURRENT: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current() -> RequestContext:
    """The context of the current request; outside a request, an empty one that is discarded."""
    return CURRENT.get() or RequestContext("")
