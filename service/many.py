"""Many files in one request: each is worked on when it is whole, and answered when it is done."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from models.errors import TasteprintError
from models.window import WindowChoice
from service import respond
from service.admit import HeldBytes
from service.answers import BatchLine, Embedding
from service.errors import Busy, EmptyUpload, NoFile, TooManyFiles
from service.multipart import Multipart, PartHead, Sink, check_ended, check_field
from service.patience import while_wanted, within
from service.pipeline import Asked, Pipeline, own
from service.problems import describe
from service.seen import Seen
from service.session import Model
from service.settings import Settings
from service.upload import MULTIPART, Upload, body_of, media_type, unsupported

NDJSON = "application/x-ndjson"

log = logging.getLogger("tasteprint")


@dataclass
class File:
    """One file of the body. Where it is refused, what follows of it is passed over."""

    index: int
    name: str
    upload: Upload
    error: TasteprintError | None = None

    def write(self, data: memoryview) -> None:
        if self.error is None:
            try:
                self.upload.write(data)
            except TasteprintError as error:
                self.refuse(error)

    def refuse(self, error: TasteprintError) -> None:
        self.error = error
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
        self._whole: list[File] = []
        self._count = 0

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes.

        Raises
        ------
        BadUpload
            Where the body itself is not what it should be.
        """
        self._body.feed(chunk)

    def take(self) -> list[File]:
        """The files that are whole since the last time."""
        whole, self._whole = self._whole, []
        return whole

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
        if self._under_way.error is None and not self._under_way.upload.spool.size:
            self._under_way.refuse(EmptyUpload("the file has no bytes", value=0, limit=1))
        self._whole.append(self._under_way)
        self._under_way = None

    def close(self) -> None:
        for file in [*self._whole, *([self._under_way] if self._under_way else [])]:
            file.upload.close()


@dataclass
class Batch:
    """The work on one request's files.

    A few are in work at a time, and wait for their places instead of being refused. The body is
    read no faster than that; answers wait in memory for a client that sends all before it reads.
    """

    pipeline: Pipeline
    model: Model
    choice: WindowChoice
    features: bool
    files: Files
    seen: Seen
    lines: asyncio.Queue[BatchLine | None] = field(default_factory=asyncio.Queue)

    async def run(self, request: Request) -> None:
        """Read and answer every file; the line after the last one is None."""
        try:
            with self.pipeline.taken():
                async with asyncio.TaskGroup() as works:
                    tasks = await self._read(request, works)
                    await while_wanted(request, asyncio.wait(tasks), None)
        except* ClientDisconnect:
            log.debug("a client left during its batch")
        finally:
            self.lines.put_nowait(None)

    async def _read(self, request: Request, works: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        settings, tasks = self.pipeline.settings, []
        places = asyncio.Semaphore(max(1, settings.max_in_flight // 4))
        try:
            async for chunk in body_of(request, settings):
                try:
                    self.files.feed(chunk)
                finally:  # also of a body that goes wrong, the files so far
                    for file in self.files.take():
                        await places.acquire()
                        tasks.append(works.create_task(self._answer(file)))
                        tasks[-1].add_done_callback(lambda _: places.release())
            self.files.finish()
        except TasteprintError as error:  # of the body, whose files so far are answered
            self.lines.put_nowait(BatchLine(problem=describe(error)))
        finally:
            self.files.close()
        return tasks or [works.create_task(asyncio.sleep(0))]

    async def _answer(self, file: File) -> None:
        try:
            if file.error is not None:
                raise file.error
            answer = await within(self.pipeline.settings.deadline_s, self._embed(file))
            line = BatchLine(index=file.index, file=file.name, answer=answer)
        except TasteprintError as error:
            line = BatchLine(index=file.index, file=file.name, problem=describe(error))
        finally:
            file.upload.close()
        self.lines.put_nowait(line)

    async def _embed(self, file: File) -> Embedding:
        pipeline = self.pipeline
        asked = Asked((self.model,), self.choice, self.seen.timing())
        with pipeline.hear(file.upload, self.choice) as hearing:
            known = await pipeline.known(hearing, asked)
            results = await pipeline.answers(hearing, asked, known)
            while isinstance(results[0], Busy):
                await pipeline.admission.room(hearing.windows_at_a_time)
                results = await pipeline.answers(hearing, asked, known)
        self.seen.answered([self.model], results)
        return respond.embedding(own(results[0]), features=self.features)


class BatchResponse(Response):
    """A line of JSON a file, as each is done.

    Starlette's own streaming response takes in for itself what is received, and here that is files.
    """

    def __init__(self, batch: Batch, request: Request) -> None:
        super().__init__(media_type=NDJSON)
        self._batch, self._request = batch, request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        run = asyncio.create_task(self._batch.run(self._request))
        try:
            start = {"type": "http.response.start", "status": 200}
            await send({**start, "headers": [(b"content-type", NDJSON.encode())]})
            while (line := await self._batch.lines.get()) is not None:
                body = line.model_dump_json(exclude_none=True).encode() + b"\n"
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await run
            await send({"type": "http.response.body", "body": b""})
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
