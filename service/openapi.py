"""What OpenAPI says of every route that takes a file: its body and its problems."""

from __future__ import annotations

from typing import Any

from service.answers import BatchLine
from service.errors import NoKey, WrongKey
from service.problem_types import BATCH, FILE, REMEMBERED, TASK, problems

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
