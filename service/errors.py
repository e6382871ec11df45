"""Errors of the service, and the table of their HTTP statuses."""

from __future__ import annotations

import re

from models.errors import (
    AudioError,
    BundleError,
    NotAudio,
    TasteprintError,
    UnsupportedCodec,
)


class ServiceError(TasteprintError):
    """Base of the service's errors; errors of audio and bundles are in `models.errors`."""

    title = "Service error"


class BadUpload(ServiceError):
    """Raised if the request's body is not exactly one audio file."""

    title = "Bad upload"
    remedy = "send one file, as the field `file` of a form or as the body with its type"


class BadMultipart(BadUpload):
    """Raised if the multipart body is malformed."""

    title = "Malformed multipart body"


class WrongField(BadUpload):
    """Raised if a multipart part is no file, or its field has another name than `file`."""

    title = "Wrong field name"
    remedy = "name the multipart field `file`"


class NoFile(BadUpload):
    """Raised if the request has no file."""

    title = "No file in the request"


class TooManyFiles(BadUpload):
    """Raised if the request has more files than the route takes."""

    title = "More than one file"
    remedy = "send one file per request"


class EmptyUpload(BadUpload):
    """Raised if the uploaded file has no bytes."""

    title = "Empty file"
    remedy = "send a file that holds audio"


class UnsupportedBody(BadUpload):
    """Raised if the content type of the body is not supported."""

    title = "Unsupported content type"


class UploadTooLarge(BadUpload):
    """Raised if the file is larger than `max_upload_bytes`."""

    title = "File too large"
    remedy = "send a shorter or a compressed file"


class UploadTimeout(BadUpload):
    """Raised if the client was idle, or slower than the minimum upload rate."""

    title = "Upload stalled"
    remedy = "send the file again over a steadier connection"


class HeadTooLarge(ServiceError):
    """Raised if the headers of a request are larger than 64 KiB."""

    title = "Request headers too large"
    remedy = "send the audio as the body, and short headers"


class MalformedRequest(ServiceError):
    """Raised if what arrives is not an HTTP/1.1 request."""

    title = "Malformed request"
    remedy = "speak HTTP/1.1 without TLS: http://, not https://, at this port"


class UnknownCoding(ServiceError):
    """Raised if the transfer coding is not `chunked` (RFC 9112, section 6.1)."""

    title = "Unknown transfer coding"
    remedy = "send the file as it is, with Content-Length or in chunks"


class BadQuery(ServiceError):
    """Raised if the query is not valid."""

    title = "Bad query"


class UnknownParameter(BadQuery):
    """Raised if the route has no query parameter of that name."""

    title = "Unknown query parameter"


class InvalidParameter(BadQuery):
    """Raised if the value of a parameter is not valid."""

    title = "Invalid query parameter"


class Unauthorized(ServiceError):
    """Raised if the API key is missing or unknown."""

    remedy = "send Authorization: Bearer <key>, or X-API-Key: <key>"


class NoKey(Unauthorized):
    """Raised if the request has no API key."""

    title = "API key needed"


class WrongKey(Unauthorized):
    """Raised if the request's API key is unknown."""

    title = "Unknown API key"


class QueryTooLong(BadQuery):
    """Raised if the query is longer than 4 KiB."""

    title = "Query too long"
    remedy = "send only the parameters that the route has"


class UnknownModel(ServiceError):
    """Raised if no bundle has that name."""

    title = "Unknown model"
    remedy = "GET /models lists them"


class UnknownTask(ServiceError):
    """Raised if no bundle has that task."""

    title = "Unknown task"
    remedy = "GET /models lists every model with its kind and task"


class NotRemembered(ServiceError):
    """Raised if the cache has no answer for that audio, window and model."""

    title = "Not remembered"
    remedy = "upload the audio: POST /embed"


class WrongModel(ServiceError):
    """Raised if the model has another task than the route."""

    title = "Model of another task"
    remedy = "omit `model`, or name a model of this task"


class NoSpectrogram(ServiceError):
    """The model has no graph that shows its input."""

    title = "No spectrogram"
    remedy = "name a model that has one; `tasteprint-train spectrogram` makes it"


class OtherSpace(ServiceError):
    """Raised if the model's embedding does not live in the CF space that the request names."""

    title = "Model of another CF space"


class Busy(ServiceError):
    """Raised if too many windows are in flight, or the upload memory budget is exhausted."""

    title = "Too busy"
    remedy = "try again after the seconds that Retry-After states"


class DecodeTimeout(AudioError):
    """Raised if decoding took longer than `decode_timeout_s`."""

    title = "Decoding took too long"
    remedy = "encode the file again from its source"


class DecoderCrashed(AudioError):
    """Raised if the decoder process crashed on the file."""

    title = "The file crashed its decoder"
    remedy = "encode the file again from its source"


class DecoderOutOfMemory(AudioError):
    """Raised if decoding exceeded the memory limit of the decoder process."""

    title = "Decoding needs too much memory"
    remedy = "convert the file, for example to 44100 Hz stereo"


class Unavailable(ServiceError):
    """Base of failures that the request did not cause; the client may retry."""

    title = "Unavailable"
    remedy = "try again after the seconds that Retry-After states"


class Stopping(Unavailable):
    """Raised if the service is shutting down."""

    title = "The service is stopping"


class DecoderLost(Unavailable):
    """Raised if the decoder process was killed from outside or did not start."""

    title = "Decoder lost"


class DeadlineExceeded(Unavailable):
    """Raised if the answer took longer than `deadline_s` after the end of the upload."""

    title = "No answer in time"


class InferenceTimeout(Unavailable):
    """Raised if the model did not answer within `infer_timeout_s`."""

    title = "The model did not answer in time"


class NoCatalogue(ServiceError):
    """Raised if a route needs a catalogue, and the service has none."""

    title = "No catalogue"
    remedy = "make one by `tasteprint index` and set TASTEPRINT_CATALOGUE"


class NoUserFactors(ServiceError):
    """Raised if a route needs user factors, and the catalogue has none."""

    title = "No user factors"
    remedy = "make the catalogue with users: tasteprint index … --users, in docs/catalogue.md"


class CatalogueReadOnly(ServiceError):
    """Raised if the settings do not allow to change the catalogue."""

    title = "Catalogue read-only"
    remedy = (
        "set TASTEPRINT_CATALOGUE to a file of your own, and TASTEPRINT_CATALOGUE_WRITABLE=true"
    )


class OtherPrecision(ServiceError):
    """Raised if a song would be put beside vectors of another precision."""

    title = "Vectors of another precision"


class UnknownTrack(ServiceError):
    """Raised if no track of the catalogue, and no cached answer, is what was asked for."""

    title = "Unknown track"
    remedy = "upload the audio: POST /similar"


class CatalogueUnavailable(Unavailable):
    """Raised if a change of the catalogue cannot be written to the disk."""

    title = "The catalogue cannot be written"
    remedy = "look at the disk of TASTEPRINT_CATALOGUE, and try again"


class ModelRefused(Unavailable):
    """Raised if the model's bundle was refused, at the start or when it was first requested."""

    title = "Model refused"
    remedy = "replace the bundle and restart the service; GET /models lists refused bundles"


class InferenceFailed(ServiceError):
    """Raised if onnxruntime failed, or an output is not finite."""

    title = "The model failed"
    remedy = "report it with the model's digest and the audio's sha256"


class CannotStart(ServiceError):
    """Raised if the service cannot start."""

    title = "Cannot start"


# The only 5xx status that the request causes.
NOT_IMPLEMENTED = 501
# Looked up along the class's MRO: the first entry counts.
STATUS: dict[type[TasteprintError], int] = {
    BadUpload: 400,
    EmptyUpload: 422,
    UnsupportedBody: 415,
    UploadTooLarge: 413,
    UploadTimeout: 408,
    HeadTooLarge: 431,
    MalformedRequest: 400,
    QueryTooLong: 414,
    UnknownCoding: NOT_IMPLEMENTED,
    UnknownParameter: 400,
    InvalidParameter: 422,
    Unauthorized: 401,
    UnknownModel: 404,
    UnknownTask: 404,
    NotRemembered: 404,
    NoCatalogue: 404,
    UnknownTrack: 404,
    NoUserFactors: 404,
    CatalogueReadOnly: 403,
    OtherPrecision: 409,
    NoSpectrogram: 404,
    WrongModel: 422,
    OtherSpace: 409,
    AudioError: 422,
    NotAudio: 415,
    UnsupportedCodec: 415,
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
