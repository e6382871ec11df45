"""Decoder pool: worker processes that decode audio, each supervised and restarted if it ends.

Only the requested windows are decoded. A process that crashes or hangs fails its own request only.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from models.audio.windows import Windows
from models.card import AudioInput
from service.decoding.messages import DecodeRequest
from service.decoding.worker import DecoderWorker
from service.errors import DecoderLost
from service.observability.events import NO_LISTENER, EventListener
from service.settings import Settings

# Time between two attempts to start a process.
RETRY_S = 1.0

log = logging.getLogger("tasteprint")


class DecodePool:
    """`decode_workers` processes, each with one request at a time; a process that ends is replaced.

    Parameters
    ----------
    start_worker : starts a process; by default one that decodes and does nothing else

    Attributes
    ----------
    waiting : requests that wait for an idle worker
    """

    def __init__(
        self,
        settings: Settings,
        listener: EventListener = NO_LISTENER,
        start_worker: Callable[[Settings], Awaitable[DecoderWorker]] = DecoderWorker.start,
    ) -> None:
        self._settings, self._start_worker = settings, start_worker
        self._listener = listener
        # Last in, first out: the memory of the worker that was used last is warm.
        self._idle: asyncio.LifoQueue[DecoderWorker] = asyncio.LifoQueue()
        self._supervisors: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[Windows]] = set()
        self.waiting = 0

    async def start(self) -> None:
        """Start all processes and wait until each takes requests.

        Raises
        ------
        DecoderLost
        """
        count = self._settings.decode_workers
        async with asyncio.TaskGroup() as group:
            starts = [group.create_task(self._start()) for _ in range(count)]
        workers = [start.result() for start in starts]
        self._supervisors = [asyncio.create_task(self._supervise(worker)) for worker in workers]
        await asyncio.sleep(0)  # lets each supervisor put its worker into the queue

    @property
    def running(self) -> int:
        """Number of requests that a worker has."""
        return len(self._running)

    async def _start(self) -> DecoderWorker:
        return await self._start_worker(self._settings)

    async def _supervise(self, worker: DecoderWorker) -> None:
        """Offer a worker, wait until its process exits, start another one; runs until cancelled."""
        try:
            while True:
                self._idle.put_nowait(worker)
                cause = await worker.wait_for_exit()
                self._listener.decoder_exited(cause)
                log.warning("a decoder process exited (%s), starting another", cause)
                worker = await self._start_another()
        finally:
            await worker.kill()

    async def _start_another(self) -> DecoderWorker:
        while True:
            try:
                return await self._start()
            except (DecoderLost, OSError) as error:
                log.error("%s; trying again", error)
                await asyncio.sleep(RETRY_S)

    async def decode(
        self, path: Path, audio: AudioInput, window: str, part: slice | None = None
    ) -> Windows:
        """Wait for an idle worker and decode chosen windows of the file at `path` there.

        Parameters
        ----------
        part : which of the chosen windows; all of them by default

        Raises
        ------
        AudioError, DecoderLost
        """
        worker = await self._acquire()
        first = part.start if part else 0
        request = DecodeRequest(
            path=str(path),
            samples=str(worker.samples_path),
            audio=audio,
            window=window,
            max_windows=self._settings.max_windows,
            first=first,
            count=part.stop - first if part else self._settings.max_windows,
        )
        # A separate task, shielded: a cancelled caller must not cancel a running request, since the
        # process would have to be killed with it.
        task = asyncio.create_task(worker.decode(request))
        self._running.add(task)
        task.add_done_callback(functools.partial(self._release, worker))
        return await asyncio.shield(task)

    async def _acquire(self) -> DecoderWorker:
        self.waiting += 1
        try:
            while not (worker := await self._idle.get()).is_alive:
                pass  # the process exited while idle: its supervisor starts another one
            return worker
        finally:
            self.waiting -= 1

    def _release(self, worker: DecoderWorker, task: asyncio.Task[Windows]) -> None:
        if not worker.is_killed:
            self._idle.put_nowait(worker)
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio logs none where the caller was cancelled

    async def close(self) -> None:
        tasks = [*self._running, *self._supervisors]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
