"""What OpenAPI says of every route that takes a file: its body and its problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from models.errors import AudioError, TasteprintError
from service.errors import (
    BadMultipart,
    BadUpload,
    Busy,
    InferenceFailed,
    InvalidParameter,
    NoKey,
    NotRemembered,
    Stopping,
    Unavailable,
    UnknownModel,
    UnknownParameter,
    UnknownTask,
    UnsupportedBody,
    WrongKey,
    WrongModel,
    status_of_kind,
    type_of,
)
from service.problems import BUG, MEDIA_TYPE, NO_TYPE
from service.schemas.responses import BatchLine, Problem

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


BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE_BODY = {
    "requestBody": {
        "required": True,
        "description": "One audio file: MP3, FLAC, Ogg Vorbis, Opus, M4A/AAC, WAV, AIFF or WebM.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "audio/*": BINARY,
            "application/octet-stream": BINARY,
        },
    }
}
FILES_BODY = {
    "requestBody": {
        "required": True,
        "description": "Audio files, each a part named `file`.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            }
        },
    }
}
VECTORS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "With `Accept: application/octet-stream` the numbers alone: float32, "
        "little-endian, in the order that the header `Tasteprint-Outputs` states.",
        "content": {"application/octet-stream": BINARY},
    }
}
BATCH_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line of JSON for each file, as it is done.",
        "content": {"application/x-ndjson": {"schema": BatchLine.model_json_schema()}},
    }
}
FILE_PROBLEMS = problems(
    FILE,
    s400="Bad upload (no file, wrong field, several files, malformed) or unknown query parameter.",
    s404="Unknown model; the models there are are named.",
    s408="The upload stalled.",
    s413="The file is larger than the limit; answered while it streams.",
    s415="Not audio, or a content type that is not read.",
    s422="Unusable audio (empty, truncated, silent, too short, …) or an invalid parameter.",
    s429="Too busy; Retry-After states when to try again.",
    s500="The model failed on this audio.",
    s503="A decoder or a model was lost; Retry-After states when to try again.",
    s504="No answer within the deadline; Retry-After states when to try again.",
)
BATCH_PROBLEMS = problems(
    BATCH,
    s400="Unknown query parameter, or a boundary that is none.",
    s404="Unknown model; the models there are are named.",
    s415="No multipart body.",
    s422="An invalid parameter.",
    s500="The service met an error that it does not know.",
    s503="The service is stopping.",
)
REMEMBERED_PROBLEMS = problems(
    REMEMBERED,
    s400="Unknown query parameter.",
    s404="Nothing is remembered of it, or unknown model.",
    s422="No SHA-256, or an invalid parameter.",
)
TASK_PROBLEMS = FILE_PROBLEMS | problems(
    TASK,
    s404="Unknown task or model; those there are are named.",
    s422="Unusable audio, an invalid parameter, or a model of another task.",
)


KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def state_keys(api: dict[str, Any], open_paths: frozenset[str]) -> None:
    """Say in an OpenAPI document which operations ask for a key, how it is given, and the 401."""
    api.setdefault("components", {})["securitySchemes"] = KEY_SCHEMES
    api["security"] = [{scheme: []} for scheme in KEY_SCHEMES]
    refusal = problems((NoKey, WrongKey), s401="No key, or none of this service's.")[401]
    for path, operations in api["paths"].items():
        for operation in operations.values():
            if path in open_paths:
                operation["security"] = []
            else:
                operation["responses"]["401"] = refusal
