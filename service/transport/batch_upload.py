"""Multipart files receiver: yields each file of the body as soon as it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request

from models.errors import TasteprintError
from service.errors import EmptyUpload, NoFile, TooManyFiles
from service.settings import Settings
from service.transport.body import MULTIPART, media_type, unsupported_body
from service.transport.multipart import (
    MultipartParser,
    PartHeaders,
    Sink,
    check_complete,
    check_field,
)
from service.transport.upload import Upload, UploadBudget


@dataclass
class BatchFile:
    """One file of the body; after an error the rest of the file's bytes is skipped."""

    index: int
    name: str
    upload: Upload
    error: TasteprintError | None = None
    _owned: bool = True

    def write(self, data: memoryview) -> None:
        if self.error is None:
            try:
                self.upload.write(data)
            except TasteprintError as error:
                self.refuse(error)

    def refuse(self, error: TasteprintError) -> None:
        self.error = error
        self.close()

    def hand_over(self) -> Upload:
        """The upload; from now on the caller has to close it.

        Raises
        ------
        TasteprintError
            Where the file was refused.
        """
        if self.error is not None:
            raise self.error
        self._owned = False
        return self.upload

    def close(self) -> None:
        if self._owned:
            self.upload.close()


class BatchFiles:
    """Multipart files receiver: yields the files of a body as they become complete."""

    def __init__(self, request: Request, settings: Settings, budget: UploadBudget) -> None:
        kind, options = media_type(request)
        if kind != MULTIPART:
            raise unsupported_body(kind, MULTIPART)
        self._settings, self._budget = settings, budget
        self._body = MultipartParser(
            options.get(b"boundary", b""), self._begin_part, self._end_part
        )
        self._incomplete: BatchFile | None = None
        self._count = 0

    def feed(self, chunk: bytes) -> Iterator[BatchFile]:
        """Parse the next bytes, and yield each file that they complete before parsing on.

        Raises
        ------
        BadUpload
            If the body itself is malformed.
        """
        for _ in self._body.parts(chunk):
            assert self._incomplete is not None
            complete, self._incomplete = self._incomplete, None
            yield complete

    def finish(self) -> None:
        """Check, after the last chunk, that the body is complete and holds a file.

        Raises
        ------
        BadMultipart, NoFile
        """
        check_complete(self._body)
        if not self._count:
            raise NoFile("the multipart body has no part")

    def _begin_part(self, headers: PartHeaders) -> Sink:
        check_field(headers)
        if self._count == (limit := self._settings.max_batch_files):
            raise TooManyFiles(
                f"the request has more than {limit} files",
                value=limit + 1,
                limit=limit,
                remedy="send the rest in another request",
            )
        upload = Upload(self._settings.max_upload_bytes, self._budget)
        self._incomplete = BatchFile(self._count, headers.filename, upload)
        self._count += 1
        return self._incomplete.write

    def _end_part(self) -> None:
        assert self._incomplete is not None
        if self._incomplete.error is None and not self._incomplete.upload.size:
            self._incomplete.refuse(EmptyUpload("the file has no bytes", value=0, limit=1))

    @property
    def held_bytes(self) -> int:
        """Bytes of the incomplete file; complete files belong to their owners."""
        return 0 if self._incomplete is None else self._incomplete.upload.held_bytes

    def close(self) -> None:
        if self._incomplete is not None:
            self._incomplete.close()
