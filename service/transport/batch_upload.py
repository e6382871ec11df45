"""The files of a multipart body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request

from models.errors import TasteprintError
from service.errors import EmptyUpload, NoFile, TooManyFiles
from service.settings import Settings
from service.transport.multipart import Multipart, PartHead, Sink, check_ended, check_field
from service.transport.upload import MULTIPART, Upload, media_type, unsupported
from service.transport.upload_limits import HeldBytes


@dataclass
class File:
    """One file of the body. Where it is refused, what follows of it is passed over."""

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
        """The upload, from now on another's to close.

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


class Files:
    """The files of a multipart body, in the order in which they become whole."""

    def __init__(self, request: Request, settings: Settings, held: HeldBytes) -> None:
        kind, options = media_type(request)
        if kind != MULTIPART:
            raise unsupported(kind, MULTIPART)
        self._settings, self._held = settings, held
        self._body = Multipart(options.get(b"boundary", b""), self._begin, self._end)
        self._under_way: File | None = None
        self._count = 0

    def feed(self, chunk: bytes) -> Iterator[File]:
        """Take in the next bytes: each file that they complete, and no more of them meanwhile.

        Raises
        ------
        BadUpload
            Where the body itself is not what it should be.
        """
        for _ in self._body.parts(chunk):
            assert self._under_way is not None
            whole, self._under_way = self._under_way, None
            yield whole

    def finish(self) -> None:
        check_ended(self._body)
        if not self._count:
            raise NoFile("the multipart body holds no part")

    def _begin(self, head: PartHead) -> Sink:
        check_field(head)
        if self._count == (limit := self._settings.max_batch_files):
            raise TooManyFiles(
                f"the request holds more than {limit} files",
                value=limit + 1,
                limit=limit,
                remedy="send the rest in another request",
            )
        upload = Upload(self._settings.max_upload_bytes, self._held)
        self._under_way = File(self._count, head.filename, upload)
        self._count += 1
        return self._under_way.write

    def _end(self) -> None:
        assert self._under_way is not None
        if self._under_way.error is None and not self._under_way.upload.size:
            self._under_way.refuse(EmptyUpload("the file has no bytes", value=0, limit=1))

    @property
    def held_bytes(self) -> int:
        return 0 if self._under_way is None else self._under_way.upload.held_bytes

    def close(self) -> None:
        if self._under_way is not None:
            self._under_way.close()
