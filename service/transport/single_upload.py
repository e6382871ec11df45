"""Single-file receiver: a raw body or one multipart part."""

from __future__ import annotations

import re

from starlette.requests import Request

from service.client_remedies import remedies_of
from service.errors import EmptyUpload, NoFile
from service.settings import Settings
from service.transport.body import (
    MULTIPART,
    BodyReader,
    content_length,
    media_type,
    unsupported_body,
)
from service.transport.form_fields import FormErrors, ShortText, SingleFileParser
from service.transport.multipart import check_encoding
from service.transport.upload import Upload, UploadBudget, upload_too_large

# Types that state something else than the bytes of a file. Any other type is as good as none, with
# which a body is read as bytes (RFC 9110, section 8.3): clients and stores write
# `binary/octet-stream`, `application/x-flac`, `application/force-download`, …
OTHER_TYPES = re.compile(
    r"(text|image|font|model|message|multipart)/.*|.*\+(json|xml)|application/("
    r"(x-)?json|x-ndjson|xml|x-www-form-urlencoded|(x-)?javascript|pdf|(x-)?(gzip|tar|zip)"
    r"|x-zip-compressed|x-7z-compressed|x-bzip2?|zstd|msword|rtf|sql|graphql|wasm)"
)
# The name of a file in the place of its bytes, as of `--data-binary song.mp3` without the @.
FILE_NAME = re.compile(r"\S.*\.[A-Za-z0-9]{2,5}")
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
    errors = FormErrors(remedies_of(request), request.scope.get("path", ""))
    if _has_no_body(request):
        raise NoFile("the request has no body", remedy=errors.remedies.file)
    check_encoding("content-encoding", request.headers.get("content-encoding", ""))
    kind, options = media_type(request)
    is_multipart = kind == MULTIPART
    if not is_multipart and OTHER_TYPES.fullmatch(kind):
        raise unsupported_body(
            kind,
            f"{MULTIPART}, audio/*, video/*, application/octet-stream",
            f"{errors.remedies.file}; or {errors.remedies.raw}",
        )
    max_bytes = settings.max_upload_bytes + (MULTIPART_OVERHEAD_BYTES if is_multipart else 0)
    if content_length(request.scope["headers"]) > max_bytes:
        raise upload_too_large(settings.max_upload_bytes)
    upload = Upload(settings.max_upload_bytes, budget)
    try:
        if is_multipart:
            parser = SingleFileParser(options.get(b"boundary", b""), upload.write, errors)
            await BodyReader(request, upload, budget, settings).feed(parser.feed)
            parser.finish()
        else:
            await BodyReader(request, upload, budget, settings).feed(upload.write)
            _check_bytes(upload, errors)
        if not upload.size:
            raise EmptyUpload("the file has no bytes", value=0, limit=1)
    except BaseException:  # also where the client disconnects: release the bytes
        upload.close()
        raise
    return upload


def _check_bytes(upload: Upload, errors: FormErrors) -> None:
    """Check that a raw body is not the name of a file.

    Raises
    ------
    NoFile
    """
    received = ShortText()
    received.write(upload.head())
    if FILE_NAME.fullmatch(received.text()) and (error := errors.text_for_file(received)):
        raise error


def _has_no_body(request: Request) -> bool:
    """Whether a POST has neither a length nor chunks nor a type; an empty file has one of these."""
    headers = request.headers
    framed = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    return not framed and "content-type" not in headers
