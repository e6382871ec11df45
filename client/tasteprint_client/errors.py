"""Exceptions of the client.

TasteprintError
├── ConnectionFailed   no answer came: refused, reset, timed out
├── BadAnswer          the answer is not of a Tasteprint service: a proxy's page, cut JSON
├── MixedSpaces        vectors that cannot be compared
└── Refused            the service answered with a problem (RFC 9457)
    ├── Unauthorized   401, 403
    ├── NotFound       404
    ├── OtherSpace     409: the model is of another CF space
    ├── OtherPrecision 409: the catalogue has vectors of another precision
    ├── ReadOnly       403: the catalogue cannot be changed over HTTP
    ├── AudioRefused   413, 415, 422: this file, whoever asks
    └── Unavailable    408, 429, 502, 503, 504: still, after every attempt
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


class TasteprintError(Exception):
    """Base class.

    Attributes
    ----------
    attempts : how often the request was sent
    """

    attempts: int = 1

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.attempts == 1 else f"{text} ({self.attempts} attempts)"


class ConnectionFailed(TasteprintError):
    """No answer came from the service."""


class BadAnswer(TasteprintError):
    """The answer is none of a Tasteprint service.

    Parameters
    ----------
    status : of HTTP; 200 where the body is not what the route answers
    request_id : `X-Request-ID` of the answer, if it had one
    retry_after_s : seconds of `Retry-After`, if it had one
    """

    def __init__(
        self,
        text: str,
        status: int,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(text)
        self.status, self.request_id, self.retry_after_s = status, request_id, retry_after_s


class MixedSpaces(TasteprintError, ValueError):
    """Vectors of two spaces: their cosine means nothing."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(
            f"one vector is of {first}, the other of {second}: vectors of different spaces have "
            "nothing in common; embed both with one model"
        )


@dataclass(frozen=True)
class Problem:
    """What was wrong, as the service states it (RFC 9457).

    Attributes
    ----------
    type : stable name, for programs: `urn:tasteprint:silent-audio`
    detail, value, limit, remedy : for people
    """

    type: str
    title: str
    status: int
    detail: str = ""
    value: str | float | None = None
    limit: str | float | None = None
    remedy: str | None = None

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Problem:
        """Fields that this version does not know are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})


class Refused(TasteprintError):
    """The service answered with a problem.

    Attributes
    ----------
    problem : what was wrong
    request_id : `X-Request-ID`, by which the service's log names the request
    retry_after_s : seconds of `Retry-After`, if the answer had one
    """

    def __init__(
        self,
        problem: Problem,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        parts = [problem.detail or problem.title, problem.remedy]
        text = "; ".join(part for part in parts if part)
        super().__init__(f"{text} [request {request_id}]" if request_id else text)
        self.problem, self.request_id, self.retry_after_s = problem, request_id, retry_after_s

    @property
    def type(self) -> str:
        return self.problem.type

    @property
    def status(self) -> int:
        return self.problem.status


class Unauthorized(Refused):
    """The API key is missing or unknown."""


class NotFound(Refused):
    """No such model, task, track or cached answer."""


class OtherSpace(Refused):
    """The model is of another CF space than the one asked for."""


class OtherPrecision(Refused):
    """The catalogue has vectors of another precision than the service makes."""


class ReadOnly(Refused):
    """The service's settings do not allow to change its catalogue."""


class AudioRefused(Refused):
    """The file is too large, no audio, truncated, corrupt or silent."""


class Unavailable(Refused):
    """The service is busy or stopping, and still was at the last attempt."""


MODEL_REFUSED = "urn:tasteprint:model-refused"
BY_STATUS: dict[int, type[Refused]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: OtherSpace,
    413: AudioRefused,
    415: AudioRefused,
    422: AudioRefused,
} | dict.fromkeys((408, 429, 502, 503, 504), Unavailable)


BY_TYPE: dict[str, type[Refused]] = {
    "urn:tasteprint:other-precision": OtherPrecision,
    "urn:tasteprint:catalogue-read-only": ReadOnly,
}


def refusal(problem: Problem, request_id: str | None, retry_after_s: float | None) -> Refused:
    """The exception of a problem, by its type or status."""
    kind = BY_TYPE.get(problem.type) or BY_STATUS.get(problem.status, Refused)
    return kind(problem, request_id, retry_after_s)
