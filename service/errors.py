"""Errors of the service, and the table of their HTTP statuses."""

from __future__ import annotations

import re

from models.errors import AudioError, BundleError, NotAudio, TasteprintError


class ServiceError(TasteprintError):
    """Base of the service's errors; those of audio and bundles are in `models.errors`."""

    title = "Service error"


class BadUpload(ServiceError):
    """The request's body is not exactly one audio file."""

    title = "Bad upload"
    remedy = "send one file: curl -F file=@song.mp3, or --data-binary @song.mp3 with its type"


class BadMultipart(BadUpload):
    title = "Malformed multipart body"


class WrongField(BadUpload):
    title = "Wrong field name"
    remedy = "name the multipart field `file`: curl -F file=@song.mp3"


class NoFile(BadUpload):
    title = "No file in the request"


class TooManyFiles(BadUpload):
    title = "More than one file"
    remedy = "send one file per request"


class EmptyUpload(BadUpload):
    title = "Empty file"
    remedy = "send a file that holds audio"


class UnsupportedBody(BadUpload):
    title = "Unsupported content type"


class UploadTooLarge(BadUpload):
    title = "File too large"
    remedy = "send a shorter or a compressed file"


class UploadTimeout(BadUpload):
    title = "Upload stalled"
    remedy = "send the file again over a steadier connection"


class HeadTooLarge(ServiceError):
    title = "Request headers too large"
    remedy = "send the audio as the body, and short headers"


class UnknownCoding(ServiceError):
    """Transfer-Encoding other than `chunked` (RFC 9112, section 6.1)."""

    title = "Unknown transfer coding"
    remedy = "send the file as it is, with Content-Length or in chunks"


class BadQuery(ServiceError):
    title = "Bad query"


class UnknownParameter(BadQuery):
    title = "Unknown query parameter"


class InvalidParameter(BadQuery):
    title = "Invalid query parameter"


class Unauthorized(ServiceError):
    remedy = "send Authorization: Bearer <key>, or X-API-Key: <key>"


class NoKey(Unauthorized):
    title = "API key needed"


class WrongKey(Unauthorized):
    title = "Unknown API key"


class QueryTooLong(BadQuery):
    title = "Query too long"
    remedy = "send only the parameters that the route has"


class UnknownModel(ServiceError):
    title = "Unknown model"
    remedy = "GET /models lists them"


class UnknownTask(ServiceError):
    title = "Unknown task"
    remedy = "GET /models lists every model with its kind and task"


class NotRemembered(ServiceError):
    title = "Not remembered"
    remedy = "upload the audio: POST /embed"


class WrongModel(ServiceError):
    title = "Model of another task"
    remedy = "leave `model` out, or name one that does this task"


class Busy(ServiceError):
    """The service has too much work, or its upload memory budget is exhausted: refused at once."""

    title = "Too busy"
    remedy = "try again after the seconds that Retry-After states"


class DecodeTimeout(AudioError):
    title = "Decoding took too long"
    remedy = "encode the file again from its source"


class DecoderCrashed(AudioError):
    title = "The file crashed its decoder"
    remedy = "encode the file again from its source"


class DecoderOutOfMemory(AudioError):
    title = "Decoding needs too much memory"
    remedy = "convert the file, for example to 44100 Hz stereo"


class Unavailable(ServiceError):
    """A failure that is not the request's fault; the client may retry."""

    title = "Unavailable"
    remedy = "try again after the seconds that Retry-After states"


class Stopping(Unavailable):
    """The service is shutting down; another replica, or its successor, answers."""

    title = "The service is stopping"


class DecoderLost(Unavailable):
    title = "Decoder lost"


class DeadlineExceeded(Unavailable):
    """The upload was complete, and the answer took longer than the deadline."""

    title = "No answer in time"


class InferenceTimeout(Unavailable):
    title = "The model did not answer in time"


class InferenceFailed(ServiceError):
    title = "The model failed"
    remedy = "report it with the model's digest and the audio's sha256"


class CannotStart(ServiceError):
    """The service cannot start."""

    title = "Cannot start"


# The only 5xx status that is the request's fault.
NOT_IMPLEMENTED = 501
# Looked up along the class's MRO: the first entry counts.
STATUS: dict[type[TasteprintError], int] = {
    BadUpload: 400,
    EmptyUpload: 422,
    UnsupportedBody: 415,
    UploadTooLarge: 413,
    UploadTimeout: 408,
    HeadTooLarge: 431,
    QueryTooLong: 414,
    UnknownCoding: NOT_IMPLEMENTED,
    UnknownParameter: 400,
    InvalidParameter: 422,
    Unauthorized: 401,
    UnknownModel: 404,
    UnknownTask: 404,
    NotRemembered: 404,
    WrongModel: 422,
    AudioError: 422,
    NotAudio: 415,
    Busy: 429,
    Unavailable: 503,
    DeadlineExceeded: 504,
    InferenceFailed: 500,
    BundleError: 500,
    TasteprintError: 500,
}
RETRY_AFTER_S = {429: 1, 503: 2, 504: 2}


def status_of(error: TasteprintError) -> int:
    """HTTP status of an error."""
    return status_of_kind(type(error))


def status_of_kind(error: type[TasteprintError]) -> int:
    return next(STATUS[kind] for kind in error.__mro__ if kind in STATUS)


def type_of(name: str) -> str:
    """The problem's `type`: `NotAudio` -> `urn:tasteprint:not-audio`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
    return f"urn:tasteprint:{words}"
