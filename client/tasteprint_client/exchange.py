"""Sans-IO exchange: requests and waits are yielded, replies are sent in.

A call is a generator, a `Flow`. The clients run it: one with blocking calls, one with `await`. So
both have the same requests, retries and errors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from tasteprint_client.errors import (
    BadAnswer,
    ConnectionFailed,
    Problem,
    TasteprintError,
    refusal,
)
from tasteprint_client.retry import Retry

T = TypeVar("T")
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Request:
    """What a client sends; `timeout_s` is what is left of the call's deadline.

    Attributes
    ----------
    params : of the query; pairs where a name is repeated
    """

    method: str
    path: str
    params: Mapping[str, str] | Sequence[tuple[str, str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    timeout_s: float = 0.0


@dataclass(frozen=True)
class Wait:
    """Seconds until the next attempt."""

    seconds: float


@dataclass(frozen=True)
class Reply:
    """Status, headers with lower-case names, and body."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")

    def json(self) -> dict[str, Any]:
        """The body.

        Raises
        ------
        BadAnswer
            If the body is no JSON object.
        """
        try:
            content = json.loads(self.content)
        except ValueError as error:
            raise BadAnswer(f"the answer is no JSON: {error}", self.status) from error
        if not isinstance(content, dict):
            raise BadAnswer("the answer is no JSON object", self.status)
        return content


Flow = Generator[Request | Wait, Reply | None, T]


class Deadline:
    """What is left of a call's total time."""

    def __init__(self, total_s: float) -> None:
        self.total_s, self._end = total_s, time.monotonic() + total_s

    @property
    def left_s(self) -> float:
        return self._end - time.monotonic()


def exchange(
    request: Request, retry: Retry, deadline: Deadline, accept: Collection[int] = (200,)
) -> Flow[Reply]:
    """Send until the service answers with an accepted status.

    Raises
    ------
    Refused, BadAnswer, ConnectionFailed
        At once where another attempt would fail too, or would come after the deadline.
    """
    attempts = 0
    while True:
        attempts += 1
        try:
            # A last attempt gets a second: shorter, no answer could come.
            reply = yield replace(request, timeout_s=max(deadline.left_s, 1.0))
            assert reply is not None
            if reply.status in accept:
                return reply
            error: TasteprintError = error_of(reply)
        except ConnectionFailed as failed:
            error = failed
        error.attempts = attempts
        wait_s = retry.wait_s(error)
        if wait_s is None or wait_s >= deadline.left_s:
            raise error
        yield Wait(wait_s)


def error_of(reply: Reply) -> TasteprintError:
    """The exception of a reply that is no answer."""
    retry_after_s = _retry_after_s(reply.headers.get("retry-after"))
    if reply.headers.get("content-type", "").startswith(PROBLEM):
        try:
            problem = Problem.from_json(reply.json())
        except (BadAnswer, TypeError):
            pass
        else:
            return refusal(problem, reply.request_id, retry_after_s)
    start = reply.content[:200].decode(errors="replace").strip()
    text = f"status {reply.status} without a problem of the service: {start or 'an empty body'}"
    return BadAnswer(text, reply.status, reply.request_id, retry_after_s)


def _retry_after_s(text: str | None) -> float | None:
    """Seconds of `Retry-After`, a number or a date; None where it is neither."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
