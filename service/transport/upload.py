"""Upload: one file out of a request's body, hashed and bounded while it streams."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.decoding.memfd import Spool
from service.errors import EmptyUpload, NoFile, UnsupportedBody, UploadTooLarge
from service.settings import Settings
from service.transport.body import feed_body
from service.transport.body_delivery import stated_length
from service.transport.multipart import FilePart
from service.transport.upload_limits import HeldBytes

MULTIPART = "multipart/form-data"
# Raw bodies; a missing type is taken as bytes (RFC 9110, section 8.3).
RAW_TYPES = ("audio/", "video/", "application/octet-stream", "application/ogg")
# Parsed in time that grows faster than it does.
MAX_TYPE_BYTES = 1 << 10
PIECE_BYTES = 32 << 10
# Written in a thread from here on: a larger file would keep everybody waiting for milliseconds.
BLOCKING_BYTES = 2 << 20
# Boundaries and part headers, which Content-Length counts and the file does not.
MULTIPART_OVERHEAD = 16 << 10


class Upload:
    """A received file: its bytes and their SHA-256. Its owner closes it.

    The bytes stay in the pieces in which they came until they are to be decoded: what is known by
    its digest needs no file.

    Attributes
    ----------
    size : bytes received
    """

    def __init__(self, limit: int, held: HeldBytes) -> None:
        self._limit, self._held = limit, held
        self._hash = hashlib.sha256()
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._spool: Spool | None = None
        self._closed = False
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Take in a piece of the file.

        Raises
        ------
        UploadTooLarge, Busy
        """
        if self.size + len(data) > self._limit:
            raise _too_large(self._limit)
        self._held.take(len(data))
        self.size += len(data)
        self._hash.update(data)
        last = self._pieces[-1] if self._pieces else None
        if len(data) >= PIECE_BYTES:
            self._pieces.append(data)
        elif isinstance(last, bytearray) and len(last) < PIECE_BYTES:
            last += data
        else:  # a small one is gathered with those that follow: each object costs
            self._pieces.append(bytearray(data))

    async def path(self) -> Path:
        """Where a decoder finds the file: in anonymous memory, until this is closed."""
        if self._spool is None:
            self._spool = Spool()
            if self.size < BLOCKING_BYTES:
                self._spill(self._spool)
            else:
                await asyncio.to_thread(self._spill, self._spool)
        return self._spool.path

    def _spill(self, spool: Spool) -> None:
        while self._pieces and not self._closed:
            spool.write(self._pieces.pop(0))

    @property
    def held_bytes(self) -> int:
        return 0 if self._closed else self.size

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._held.give(self.size)
            self._pieces.clear()
            if self._spool is not None:
                self._spool.close()


async def receive(request: Request, settings: Settings, held: HeldBytes) -> Upload:
    """The request's one file; whatever else it holds is refused.

    Raises
    ------
    BadUpload
        The subclass says which.
    Busy
        Where too many bytes of other uploads are held.
    """
    if _has_no_body(request):
        raise NoFile("the request has no body")
    kind, options = media_type(request)
    multipart = kind == MULTIPART
    if not multipart and kind and not kind.startswith(RAW_TYPES):
        raise unsupported(kind, f"{MULTIPART}, audio/*, video/*, application/octet-stream")
    allowed = settings.max_upload_bytes + (MULTIPART_OVERHEAD if multipart else 0)
    if stated_length(request.scope["headers"]) > allowed:
        raise _too_large(settings.max_upload_bytes)
    upload = Upload(settings.max_upload_bytes, held)
    body = held.receiving(upload, settings)
    try:
        if multipart:
            part = FilePart(options.get(b"boundary", b""), upload.write)
            await feed_body(request, body, part.feed)
            part.finish()
        else:
            await feed_body(request, body, upload.write)
        if not upload.size:
            raise EmptyUpload("the file has no bytes", value=0, limit=1)
    except BaseException:  # also where the client leaves: its bytes leave with it
        upload.close()
        raise
    return upload


def _has_no_body(request: Request) -> bool:
    """Neither a length nor chunks nor a type: a POST of nothing, not of an empty file."""
    headers = request.headers
    framed = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    return not framed and "content-type" not in headers


def _too_large(limit: int) -> UploadTooLarge:
    return UploadTooLarge(f"the file is larger than {limit} bytes", limit=limit)


def media_type(request: Request) -> tuple[str, dict[bytes, bytes]]:
    """The body's type and its options, as `boundary`; an empty type where none is stated."""
    stated = request.headers.get("content-type", "")
    if len(stated) > MAX_TYPE_BYTES:
        raise unsupported(stated, f"a type of {MAX_TYPE_BYTES} bytes")
    kind, options = parse_options_header(stated)
    return kind.decode("latin-1"), options


def unsupported(kind: str, limit: str) -> UnsupportedBody:
    said = kind[:64] or "no type"
    return UnsupportedBody(f"a body of type {said} is not read", value=said, limit=limit)
