"""POST /embed/batch: many files in one request, each answered by a JSON line when it is done."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from models.audio.window_choice import WindowChoice
from models.errors import TasteprintError
from service.api import render
from service.errors import Stopping
from service.inference.model import Model
from service.observability.context import RequestContext
from service.pipeline.cancellation import run_until_disconnect, with_deadline
from service.pipeline.model_request import ModelRequest
from service.pipeline.pipeline import Pipeline, note_outcomes, raise_if_error
from service.problems import describe
from service.schemas.responses import BatchLine, Embedding
from service.transport.batch_upload import BatchFile, BatchFiles
from service.transport.body import BodyReader
from service.transport.peekable_receive import PeekableReceive

NDJSON = "application/x-ndjson"

log = logging.getLogger("tasteprint")


@dataclass
class BatchUpload:
    """Request of many files: reads them, runs the model on each, and queues the response lines.

    A few files are processed at a time, and wait for admission instead of being refused. The body
    is read no faster than that; lines wait in memory for a client that reads only after it has sent
    everything.

    Attributes
    ----------
    lines : response lines in the order in which they are done; None after the last
    """

    pipeline: Pipeline
    model: Model
    window: WindowChoice
    features: bool
    levels: bool
    files: BatchFiles
    context: RequestContext
    lines: asyncio.Queue[BatchLine | None] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self._max_files = max(1, self.pipeline.settings.max_in_flight // 4)
        self._slots = asyncio.Semaphore(self._max_files)

    async def run(self, request: Request) -> None:
        """Read and answer every file."""
        peekable = PeekableReceive(request.receive)
        reading = Request(request.scope, peekable.receive)
        peeking = Request(request.scope, peekable.peek)
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._read(reading, peeking, tasks)
                await run_until_disconnect(reading, self._all_answered(), None)
        except* ClientDisconnect:
            log.debug("client disconnected during its batch")
        finally:
            self.files.close()
            self.lines.put_nowait(None)

    async def _read(self, reading: Request, peeking: Request, tasks: asyncio.TaskGroup) -> None:
        """Start each file once it is complete and has a slot; nothing else is read meanwhile."""
        try:
            budget, settings = self.pipeline.upload_budget, self.pipeline.settings
            body = BodyReader(reading, self.files, budget, settings)
            async for chunk in body.chunks():
                for file in self.files.feed(chunk):
                    await self._start(file, peeking, tasks)
            self.files.finish()
        except TasteprintError as error:  # of the body; files before the error are answered
            self.lines.put_nowait(BatchLine(problem=describe(error)))

    async def _start(self, file: BatchFile, peeking: Request, tasks: asyncio.TaskGroup) -> None:
        def on_done(_: asyncio.Task[None]) -> None:  # also of a task that never started
            file.close()
            self._slots.release()

        try:
            if self._slots.locked():
                await run_until_disconnect(peeking, self._slots.acquire(), None)
            else:
                await self._slots.acquire()
        except BaseException:
            file.close()
            raise
        tasks.create_task(self._answer(file)).add_done_callback(on_done)

    async def _all_answered(self) -> None:
        for _ in range(self._max_files):
            await self._slots.acquire()

    async def _answer(self, file: BatchFile) -> None:
        line = BatchLine(index=file.index, file=file.name)
        try:
            line = line.model_copy(update={"answer": await self._embed(file)})
        except TasteprintError as error:
            line = line.model_copy(update={"problem": describe(error)})
        self.lines.put_nowait(line)

    async def _embed(self, file: BatchFile) -> Embedding:
        timer = self.context.new_timer()
        model_request = ModelRequest(
            (self.model,), self.window, timer, waits_for_admission=True, levels=self.levels
        )
        policy = partial(with_deadline, self.pipeline.settings.deadline_s)
        results = await self.pipeline.answer(file.hand_over(), model_request, policy)
        note_outcomes(self.context, model_request.models, results)
        answer = raise_if_error(results[0])
        return render.embedding(answer, features=self.features, levels=self.levels)


class BatchResponse(Response):
    """NDJSON response: one line per file, as it is done.

    Not a `StreamingResponse`: Starlette's receives messages itself, and here these hold the files.
    """

    def __init__(self, batch: BatchUpload, request: Request) -> None:
        super().__init__(media_type=NDJSON)
        self._batch, self._request = batch, request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._batch.pipeline.track():
            run = asyncio.create_task(self._batch.run(self._request))
            try:
                start = {"type": "http.response.start", "status": 200}
                await self._send(send, {**start, "headers": [(b"content-type", NDJSON.encode())]})
                while (line := await self._batch.lines.get()) is not None:
                    await self._send(send, {**_message(line), "more_body": True})
                await run
                await self._send(send, {"type": "http.response.body", "body": b""})
            except asyncio.CancelledError:  # the deadline of a shutdown
                problem = describe(Stopping("the service shut down before the request completed"))
                await send(_message(BatchLine(problem=problem)))
            finally:
                run.cancel()
                await asyncio.gather(run, return_exceptions=True)

    async def _send(self, send: Send, message: Message) -> None:
        """Send; a client that reads nothing for `upload_timeout_s` counts as disconnected."""
        try:
            async with asyncio.timeout(self._batch.pipeline.settings.upload_timeout_s):
                await send(message)
        except TimeoutError:
            raise ClientDisconnect from None


def _message(line: BatchLine) -> Message:
    body = line.model_dump_json(exclude_none=True).encode() + b"\n"
    return {"type": "http.response.body", "body": body}
