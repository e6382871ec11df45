"""Single-file receiver: a raw body or one multipart part."""

from __future__ import annotations

from starlette.requests import Request

from service.errors import EmptyUpload, NoFile
from service.settings import Settings
from service.transport.body import (
    MULTIPART,
    BodyReader,
    content_length,
    media_type,
    unsupported_body,
)
from service.transport.multipart import SingleFileParser
from service.transport.upload import Upload, UploadBudget, upload_too_large

# Types of raw bodies; a body without a type is read as bytes (RFC 9110, section 8.3).
RAW_TYPES = ("audio/", "video/", "application/octet-stream", "application/ogg")
# Boundaries and part headers, which Content-Length counts and the file does not.
MULTIPART_OVERHEAD_BYTES = 16 << 10


async def receive_upload(request: Request, settings: Settings, budget: UploadBudget) -> Upload:
    """Receive the one file of a request; hash it and limit its size while it streams.

    Raises
    ------
    BadUpload
        If the body is not exactly one file; the subclass says why.
    Busy
        Where the upload memory budget is exhausted.
    ClientDisconnect
    """
    if _has_no_body(request):
        raise NoFile("the request has no body")
    kind, options = media_type(request)
    is_multipart = kind == MULTIPART
    if not is_multipart and kind and not kind.startswith(RAW_TYPES):
        raise unsupported_body(kind, f"{MULTIPART}, audio/*, video/*, application/octet-stream")
    max_bytes = settings.max_upload_bytes + (MULTIPART_OVERHEAD_BYTES if is_multipart else 0)
    if content_length(request.scope["headers"]) > max_bytes:
        raise upload_too_large(settings.max_upload_bytes)
    upload = Upload(settings.max_upload_bytes, budget)
    try:
        if is_multipart:
            parser = SingleFileParser(options.get(b"boundary", b""), upload.write)
            await BodyReader(request, upload, budget, settings).feed(parser.feed)
            parser.finish()
        else:
            await BodyReader(request, upload, budget, settings).feed(upload.write)
        if not upload.size:
            raise EmptyUpload("the file has no bytes", value=0, limit=1)
    except BaseException:  # also where the client disconnects: release the bytes
        upload.close()
        raise
    return upload


def _has_no_body(request: Request) -> bool:
    """Whether a POST has neither a length nor chunks nor a type; an empty file has one of these."""
    headers = request.headers
    framed = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    return not framed and "content-type" not in headers
