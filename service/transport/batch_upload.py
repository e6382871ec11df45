"""Multipart files receiver: yields each file of the body as soon as it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request

from models.errors import TasteprintError
from service.client_remedies import remedies_of
from service.errors import EmptyUpload, NoFile, TooManyFiles, WrongField
from service.settings import Settings
from service.transport.body import MULTIPART, media_type, unsupported_body
from service.transport.form_fields import FIELD, FormErrors, ShortText
from service.transport.multipart import MultipartParser, PartHeaders, Sink, check_encoding
from service.transport.upload import Upload, UploadBudget


@dataclass
class BatchFile:
    """One file of the body, or a field in its place; after an error the rest is skipped.

    Attributes
    ----------
    field, name : of the field, and of the file
    text : the first bytes of a part without a file name
    """

    index: int
    field: str
    name: str
    upload: Upload
    error: TasteprintError | None = None
    text: ShortText | None = None
    _owned: bool = True

    def write(self, data: memoryview) -> None:
        if self.text is not None:
            self.text.write(data)
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
    """Multipart files receiver: yields the files of a body as they become complete.

    A part with a file name is a file, whatever the field is called: pages and tools write `files`,
    `files[]`, `file1`, … A part without one is a file if the field is called `file`.
    """

    def __init__(self, request: Request, settings: Settings, budget: UploadBudget) -> None:
        check_encoding("content-encoding", request.headers.get("content-encoding", ""))
        kind, options = media_type(request)
        self._errors = FormErrors(remedies_of(request), request.scope.get("path", ""))
        if kind != MULTIPART:
            raise unsupported_body(kind, MULTIPART, self._errors.remedies.file)
        self._settings, self._budget = settings, budget
        self._body = MultipartParser(
            options.get(b"boundary", b""),
            self._begin_part,
            self._end_part,
            self._errors.remedies,
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
        self._body.check_complete()
        if not self._count:
            raise NoFile("the multipart body has no part", remedy=self._errors.remedies.file)

    def _begin_part(self, headers: PartHeaders) -> Sink:
        if self._count == (limit := self._settings.max_batch_files):
            raise TooManyFiles(
                f"the request has more than {limit} files",
                value=limit + 1,
                limit=limit,
                remedy="send the rest in another request",
            )
        upload = Upload(self._settings.max_upload_bytes, self._budget)
        file = BatchFile(self._count, headers.field, headers.filename, upload)
        if not headers.filename:
            file.text = ShortText()
            if headers.field != FIELD:
                file.refuse(self._errors.wrong_field(headers.field))
        self._incomplete = file
        self._count += 1
        return file.write

    def _end_part(self) -> None:
        file = self._incomplete
        assert file is not None
        if file.text is not None and isinstance(file.error, WrongField):
            file.error = self._errors.wrong_field(file.field, file.text.text())
        elif file.error is None and not file.upload.size:
            file.refuse(EmptyUpload("the file has no bytes", value=0, limit=1))
        elif file.text is not None and (error := self._errors.text_for_file(file.text)):
            file.refuse(error)

    @property
    def held_bytes(self) -> int:
        """Bytes of the incomplete file; complete files belong to their owners."""
        return 0 if self._incomplete is None else self._incomplete.upload.held_bytes

    def close(self) -> None:
        if self._incomplete is not None:
            self._incomplete.close()
