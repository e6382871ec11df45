"""Seen: what is noted of a request while it is answered, and which request that is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from models.errors import TasteprintError
from service.errors import NOT_IMPLEMENTED, status_of, type_of

if TYPE_CHECKING:  # these notes are made where a body is received, before any of that
    from service.inference.session import Model
    from service.pipeline.pipeline import Answered
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


# Nginx's status for a client that left; nobody is there to read it.
CLIENT_LEFT = 499
NO_REASON = "none"


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What one model did for a request: its name, `outcome_of` it or `cached`, and the reason."""

    model: str
    outcome: str
    reason: str = NO_REASON


@dataclass(slots=True, eq=False)
class Seen:
    """One request: its id, what came of it, and the stages of each file that it asks about.

    Attributes
    ----------
    problem : the `type` of the problem that it was answered with
    started_s : on the clock of `time.perf_counter`
    status : 0 until the answer begins
    """

    request_id: str
    started_s: float = field(default_factory=time.perf_counter)
    received_bytes: int = 0
    sent_bytes: int = 0
    status: int = 0
    problem: str = ""
    timings: list[Timing] = field(default_factory=list)
    answers: list[ModelAnswer] = field(default_factory=list)

    def timing(self) -> Timing:
        """A new timing, whose stages count as this request's."""
        timing = Timing()
        self.timings.append(timing)
        return timing

    def answered(
        self, models: Sequence[Model], results: Sequence[Answered | TasteprintError]
    ) -> None:
        """Note what each model answered, or why it did not."""
        for model, result in zip(models, results, strict=True):
            self.answers.append(_answer(model.card.name, result))

    @property
    def uploads(self) -> bool:
        """Its body is being received."""
        return any("upload" in timing.running for timing in self.timings)

    @property
    def cached(self) -> bool | None:
        """Whether every model's answer was; None where no model was asked."""
        return all(each.outcome == "cached" for each in self.answers) if self.answers else None

    @property
    def outcome(self) -> str:
        return outcome_of(self.status)

    @property
    def reason(self) -> str:
        """Why it was not answered, one of a bounded number of words: `not-audio`, `not-found`."""
        if self.outcome == "answered":
            return NO_REASON
        return reason_of(self.problem) or _phrase(self.status)


def outcome_of(status: int) -> str:
    """`answered`, `refused` (the request's fault), `failed` (the service's), or `left`."""
    if status in (0, CLIENT_LEFT):
        return "left"
    if status < 400:
        return "answered"
    return "refused" if status < 500 or status == NOT_IMPLEMENTED else "failed"


def reason_of(problem_type: str) -> str:
    """`urn:tasteprint:not-audio` -> `not-audio`; nothing of a type that is not the service's."""
    _, _, reason = problem_type.partition("urn:tasteprint:")
    return reason


def _phrase(status: int) -> str:
    if status in (0, CLIENT_LEFT):
        return "client-left"
    try:
        return HTTPStatus(status).phrase.lower().replace(" ", "-")
    except ValueError:
        return f"status-{status}"


def _answer(name: str, result: Answered | TasteprintError) -> ModelAnswer:
    if isinstance(result, TasteprintError):
        reason = reason_of(type_of(type(result).__name__))
        return ModelAnswer(name, outcome_of(status_of(result)), reason)
    return ModelAnswer(name, "cached" if result.cached else "computed")


CURRENT: ContextVar[Seen | None] = ContextVar("seen", default=None)


def current() -> Seen:
    """The request that this task answers; outside of one, a note that nobody reads."""
    return CURRENT.get() or Seen("")
