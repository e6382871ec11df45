"""OpenAPI descriptions of the routes: request bodies, problem responses, security schemes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from models.errors import AudioError, TasteprintError
from service.errors import (
    BadMultipart,
    BadUpload,
    Busy,
    CatalogueReadOnly,
    CatalogueUnavailable,
    InferenceFailed,
    InvalidParameter,
    ModelRefused,
    NoCatalogue,
    NoKey,
    NoSpectrogram,
    NotRemembered,
    NoUserFactors,
    OtherPrecision,
    OtherSpace,
    QueryTooLong,
    Stopping,
    Unavailable,
    UnknownModel,
    UnknownParameter,
    UnknownTask,
    UnknownTrack,
    UnsupportedBody,
    WrongKey,
    WrongModel,
    status_of_kind,
    type_of,
)
from service.problems import BUG, MEDIA_TYPE, NO_TYPE
from service.schemas.headers import OUTPUTS, SHAPE, WINDOW
from service.schemas.responses import BatchLine, Problem

Kinds = tuple[type[TasteprintError], ...]


def leaves(kind: type[TasteprintError]) -> Iterator[type[TasteprintError]]:
    """The error classes below `kind` that have no subclasses."""
    for subclass in kind.__subclasses__():
        yield from leaves(subclass) if subclass.__subclasses__() else (subclass,)


QUERY: Kinds = (UnknownParameter, InvalidParameter)
FILE: Kinds = (
    *leaves(BadUpload),
    *leaves(AudioError),
    *leaves(Unavailable),
    Unavailable,
    Busy,
    InferenceFailed,
    UnknownModel,
    *QUERY,
)
EMBED: Kinds = (*FILE, OtherSpace)
TASK: Kinds = (*FILE, UnknownTask, WrongModel)
# A problem of one file is in the line of that file.
LOADING: Kinds = (ModelRefused, Stopping, Unavailable)
BATCH: Kinds = (UnsupportedBody, BadMultipart, *QUERY, UnknownModel, OtherSpace, *LOADING)
CACHED: Kinds = (*QUERY, UnknownModel, OtherSpace, NotRemembered, *LOADING)
SPECTROGRAM: Kinds = (*FILE, NoSpectrogram)
SIMILAR_UPLOAD: Kinds = (*FILE, NoCatalogue)
SIMILAR_SEEDS: Kinds = (*QUERY, QueryTooLong, UnknownModel, NoCatalogue, UnknownTrack, *LOADING)
LISTENERS_UPLOAD: Kinds = (*SIMILAR_UPLOAD, NoUserFactors)
LISTENERS_SEEDS: Kinds = (*SIMILAR_SEEDS, NoUserFactors)
PUT_TRACK: Kinds = (QueryTooLong, *SIMILAR_UPLOAD, CatalogueReadOnly, OtherPrecision)
DELETE_TRACK: Kinds = (
    *QUERY,
    NoCatalogue,
    UnknownTrack,
    CatalogueReadOnly,
    CatalogueUnavailable,
)
OTHER_SPACE = "The model's card does not state the CF space of the parameter `space`."


def problems(kinds: Kinds, **reasons: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses by status: `problems((UnknownModel,), s404="Unknown model.")`."""
    return {
        int(status[1:]): {
            "description": reason,
            "content": {MEDIA_TYPE: {"schema": schema(types(kinds, int(status[1:])))}},
        }
        for status, reason in reasons.items()
    }


def types(kinds: Iterable[type[TasteprintError]], status: int) -> list[str]:
    """Problem types of that status: those of the kinds, and those without an error class."""
    found = [type_of(kind.__name__) for kind in kinds if status_of_kind(kind) == status]
    # A path parameter with a slash matches no route: the framework's 404.
    return sorted({*found, *{404: [NO_TYPE], 500: [BUG]}.get(status, [])})


def schema(allowed: list[str]) -> dict[str, Any]:
    """JSON schema of a problem of one of these types."""
    problem = Problem.model_json_schema()
    allowed_type = {"title": "Type", "type": "string", "enum": allowed}
    return {**problem, "properties": {**problem["properties"], "type": allowed_type}}


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
        "description": "Audio files, each a part with a file name, whatever its field is called.",
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
        "description": "With `Accept: application/octet-stream` the bare numbers: float32, "
        f"little-endian, in the order that the header `{OUTPUTS}` states.",
        "content": {"application/octet-stream": BINARY},
    }
}
SPECTROGRAM_VALUES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": f"The numbers as float32, little-endian; `{SHAPE}` states parts, frames "
        f"and mel bands, the last axis contiguous, and `{WINDOW}` the window as JSON.",
        "content": {"application/octet-stream": BINARY},
    }
}
BATCH_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One line of JSON per file, as it is done.",
        "content": {"application/x-ndjson": {"schema": BatchLine.model_json_schema()}},
    }
}
FILE_PROBLEMS = problems(
    FILE,
    s400="Bad upload (no file, wrong field, several files, malformed) or unknown query parameter.",
    s404="Unknown model; the problem lists the models.",
    s408="The upload stalled.",
    s413="The file is larger than the limit.",
    s415="Not audio, or an unsupported content type.",
    s422="Unusable audio (empty, truncated, silent, too short, …) or an invalid parameter.",
    s429="Too busy; Retry-After states when to try again.",
    s500="The model failed on this audio.",
    s503="A decoder or a model is unavailable; Retry-After states when to try again.",
    s504="No answer within the deadline; Retry-After states when to try again.",
)
EMBED_PROBLEMS = FILE_PROBLEMS | problems(EMBED, s409=OTHER_SPACE)
BATCH_PROBLEMS = problems(
    BATCH,
    s409=OTHER_SPACE,
    s400="Unknown query parameter, or a malformed multipart boundary.",
    s404="Unknown model; the problem lists the models.",
    s415="Not a multipart body.",
    s422="An invalid parameter.",
    s500="Unexpected error of the service.",
    s503="The model cannot be loaded, or the service is shutting down.",
)
CACHED_PROBLEMS = problems(
    CACHED,
    s409=OTHER_SPACE,
    s400="Unknown query parameter.",
    s404="No cached answer (with levels, if requested), or unknown model.",
    s422="Not a SHA-256, or an invalid parameter.",
    s503="The model cannot be loaded, or the service is shutting down.",
)
TASK_PROBLEMS = FILE_PROBLEMS | problems(
    TASK,
    s404="Unknown task or model; the problem lists the known ones.",
    s422="Unusable audio, an invalid parameter, or a model of another task.",
)
SPECTROGRAM_PROBLEMS = FILE_PROBLEMS | problems(
    SPECTROGRAM, s404="Unknown model, or one without a spectrogram."
)
SIMILAR_UPLOAD_PROBLEMS = FILE_PROBLEMS | problems(
    SIMILAR_UPLOAD, s404="The service has no catalogue, or no such model."
)
SIMILAR_SEEDS_PROBLEMS = problems(
    SIMILAR_SEEDS,
    s400="Unknown query parameter.",
    s404="No such track or cached audio, or the service has no catalogue.",
    s414="More seeds than an address holds.",
    s422="No track, not a SHA-256, or an invalid parameter.",
    s503="The model cannot be loaded, or the service is shutting down.",
)
LISTENERS_UPLOAD_PROBLEMS = FILE_PROBLEMS | problems(
    LISTENERS_UPLOAD, s404="The service has no catalogue, or it has no user factors."
)
LISTENERS_SEEDS_PROBLEMS = SIMILAR_SEEDS_PROBLEMS | problems(
    LISTENERS_SEEDS,
    s404="No such track or cached audio, no catalogue, or one without user factors.",
)
READ_ONLY = "The catalogue is read-only."
PUT_TRACK_PROBLEMS = FILE_PROBLEMS | problems(
    PUT_TRACK,
    s403=READ_ONLY,
    s404="The service has no catalogue.",
    s409="The catalogue has vectors of another precision than the one that the service runs.",
    s414="Title and artist are longer than an address holds.",
)
DELETE_TRACK_PROBLEMS = problems(
    DELETE_TRACK,
    s400="Unknown query parameter.",
    s403=READ_ONLY,
    s404="No such track, or the service has no catalogue.",
    s422="An invalid parameter.",
    s503="The change cannot be written; Retry-After states when to try again.",
)


KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def state_keys(api: dict[str, Any], open_paths: frozenset[str]) -> None:
    """Add security schemes to an OpenAPI document, and the 401 to operations that need a key."""
    api.setdefault("components", {})["securitySchemes"] = KEY_SCHEMES
    api["security"] = [{scheme: []} for scheme in KEY_SCHEMES]
    refusal = problems((NoKey, WrongKey), s401="No API key, or an unknown one.")[401]
    for path, operations in api["paths"].items():
        for operation in operations.values():
            if path in open_paths:
                operation["security"] = []
            else:
                operation["responses"]["401"] = refusal
