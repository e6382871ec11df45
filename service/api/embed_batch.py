"""Many files in one request: each is worked on when it is whole, and answered when it is done."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from models.audio.window_choice import WindowChoice
from models.errors import TasteprintError
from service.api import render
from service.errors import Busy, Stopping
from service.inference.session import Model
from service.observability.context import Seen
from service.pipeline.cancellation import while_wanted, within
from service.pipeline.pipeline import Asked, Pipeline, own
from service.problems import describe
from service.schemas.responses import BatchLine, Embedding
from service.transport.batch_upload import File, Files
from service.transport.body import Ahead, body_of

NDJSON = "application/x-ndjson"

log = logging.getLogger("tasteprint")


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

    def __post_init__(self) -> None:
        self._at_once = max(1, self.pipeline.settings.max_in_flight // 4)
        self._places = asyncio.Semaphore(self._at_once)

    async def run(self, request: Request) -> None:
        """Read and answer every file; the line after the last one is None."""
        ahead = Ahead(request.receive)
        request = Request(request.scope, ahead.receive)
        looking = Request(request.scope, ahead.look)
        try:
            async with asyncio.TaskGroup() as works:
                await self._read(request, looking, works)
                await while_wanted(request, self._all_answered(), None)
        except* ClientDisconnect:
            log.debug("a client left during its batch")
        finally:
            self.files.close()
            self.lines.put_nowait(None)

    async def _read(self, request: Request, looking: Request, works: asyncio.TaskGroup) -> None:
        """Start each file as it is whole and has a place; nothing more is read meanwhile."""
        try:
            body = self.pipeline.held.receiving(self.files, self.pipeline.settings)
            async for chunk in body_of(request, body):
                for file in self.files.feed(chunk):
                    await self._start(file, looking, works)
            self.files.finish()
        except TasteprintError as error:  # of the body, whose files so far are answered
            self.lines.put_nowait(BatchLine(problem=describe(error)))

    async def _start(self, file: File, looking: Request, works: asyncio.TaskGroup) -> None:
        def over(_: asyncio.Task[None]) -> None:  # also of a task that never began
            file.close()
            self._places.release()

        try:
            if self._places.locked():
                await while_wanted(looking, self._places.acquire(), None)
            else:
                await self._places.acquire()
        except BaseException:
            file.close()
            raise
        works.create_task(self._answer(file)).add_done_callback(over)

    async def _all_answered(self) -> None:
        for _ in range(self._at_once):
            await self._places.acquire()

    async def _answer(self, file: File) -> None:
        line = BatchLine(index=file.index, file=file.name)
        try:
            answer = await within(self.pipeline.settings.deadline_s, self._embed(file))
            line = line.model_copy(update={"answer": answer})
        except TasteprintError as error:
            line = line.model_copy(update={"problem": describe(error)})
        self.lines.put_nowait(line)

    async def _embed(self, file: File) -> Embedding:
        pipeline = self.pipeline
        asked = Asked((self.model,), self.choice, self.seen.timing())
        with pipeline.hear(file.hand_over(), self.choice) as hearing:
            known = await pipeline.known(hearing.upload.sha256, asked)
            results = await pipeline.answers(hearing, asked, known)
            while isinstance(results[0], Busy):
                await pipeline.admission.room(hearing.windows_at_a_time)
                results = await pipeline.answers(hearing, asked, known)
        self.seen.answered([self.model], results)
        return render.embedding(own(results[0]), features=self.features)


class BatchResponse(Response):
    """A line of JSON a file, as each is done.

    Starlette's own streaming response takes in for itself what is received, and here that is files.
    """

    def __init__(self, batch: Batch, request: Request) -> None:
        super().__init__(media_type=NDJSON)
        self._batch, self._request = batch, request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._batch.pipeline.taken():
            run = asyncio.create_task(self._batch.run(self._request))
            try:
                start = {"type": "http.response.start", "status": 200}
                await self._send(send, {**start, "headers": [(b"content-type", NDJSON.encode())]})
                while (line := await self._batch.lines.get()) is not None:
                    body = line.model_dump_json(exclude_none=True).encode() + b"\n"
                    message = {"type": "http.response.body", "body": body, "more_body": True}
                    await self._send(send, message)
                await run
                await self._send(send, {"type": "http.response.body", "body": b""})
            except asyncio.CancelledError:  # the deadline of a shutdown
                problem = describe(Stopping("the service ended before the rest was answered"))
                body = BatchLine(problem=problem).model_dump_json(exclude_none=True).encode()
                await send({"type": "http.response.body", "body": body + b"\n"})
            finally:
                run.cancel()
                await asyncio.gather(run, return_exceptions=True)

    async def _send(self, send: Send, message: Message) -> None:
        """Send to a client that reads: one that does not, for as long as it may be silent, left."""
        try:
            async with asyncio.timeout(self._batch.pipeline.settings.upload_timeout_s):
                await send(message)
        except TimeoutError:
            raise ClientDisconnect from None
