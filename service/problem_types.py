"""Problem types: which of the error tree a route may answer, and so what OpenAPI says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from models.errors import AudioError, TasteprintError
from service.answers import Problem
from service.errors import (
    BadMultipart,
    BadUpload,
    Busy,
    InferenceFailed,
    InvalidParameter,
    NotRemembered,
    Stopping,
    Unavailable,
    UnknownModel,
    UnknownParameter,
    UnknownTask,
    UnsupportedBody,
    WrongModel,
    status_of_kind,
    type_of,
)
from service.problems import BUG, MEDIA_TYPE, NO_TYPE

Kinds = tuple[type[TasteprintError], ...]


def below(kind: type[TasteprintError]) -> Iterator[type[TasteprintError]]:
    """The leaves of that branch of the tree."""
    for each in kind.__subclasses__():
        yield from below(each) if each.__subclasses__() else (each,)


QUERY: Kinds = (UnknownParameter, InvalidParameter)
FILE: Kinds = (
    *below(BadUpload),
    *below(AudioError),
    *below(Unavailable),
    Unavailable,
    Busy,
    InferenceFailed,
    UnknownModel,
    *QUERY,
)
TASK: Kinds = (*FILE, UnknownTask, WrongModel)
# What is wrong with one of its files is in its line.
BATCH: Kinds = (UnsupportedBody, BadMultipart, *QUERY, UnknownModel, Stopping)
REMEMBERED: Kinds = (*QUERY, UnknownModel, NotRemembered)


def problems(kinds: Kinds, **reasons: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of answers: `problems((UnknownModel,), s404="Unknown model.")`."""
    return {
        int(status[1:]): {
            "description": reason,
            "content": {MEDIA_TYPE: {"schema": schema(types(kinds, int(status[1:])))}},
        }
        for status, reason in reasons.items()
    }


def types(kinds: Iterable[type[TasteprintError]], status: int) -> list[str]:
    """The `type` of each of these kinds that has that status, and of what is no kind's."""
    own = [type_of(kind.__name__) for kind in kinds if status_of_kind(kind) == status]
    # A path's parameter may hold a slash, and then there is no such route.
    return sorted({*own, *{404: [NO_TYPE], 500: [BUG]}.get(status, [])})


def schema(allowed: list[str]) -> dict[str, Any]:
    """That of a problem of one of these types."""
    problem = Problem.model_json_schema()
    named = {"title": "Type", "type": "string", "enum": allowed}
    return {**problem, "properties": {**problem["properties"], "type": named}}
