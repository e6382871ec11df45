"""Decoder pool: worker processes that decode audio, each supervised and restarted if it ends.

Only the windows that are needed are decoded. A process that crashes or hangs costs its own job.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from pathlib import Path

from models.audio.windows import Windows
from models.card import AudioInput
from service.decoding.messages import Job
from service.decoding.worker import DecoderWorker
from service.errors import DecoderLost
from service.observability.events import NO_LISTENER, EventListener
from service.settings import Settings

# Between two attempts to start a process.
RETRY_S = 1.0

log = logging.getLogger("tasteprint")


class DecodePool:
    """`decode_workers` processes with one job each at a time; one that ends is replaced at once.

    Attributes
    ----------
    waiting : jobs that wait for an idle worker
    """

    def __init__(self, settings: Settings, listener: EventListener = NO_LISTENER) -> None:
        self._settings = settings
        self._listener = listener
        # Last in, first out: the memory of the worker that was used last is warm.
        self._idle: asyncio.LifoQueue[DecoderWorker] = asyncio.LifoQueue()
        self._supervisors: list[asyncio.Task[None]] = []
        self._jobs: set[asyncio.Task[Windows]] = set()
        self.waiting = 0

    async def start(self) -> None:
        """Start all processes and wait until each takes jobs.

        Raises
        ------
        DecoderLost
        """
        count = self._settings.decode_workers
        async with asyncio.TaskGroup() as group:
            starts = [group.create_task(DecoderWorker.start(self._settings)) for _ in range(count)]
        workers = [start.result() for start in starts]
        self._supervisors = [asyncio.create_task(self._supervise(worker)) for worker in workers]
        await asyncio.sleep(0)  # lets each supervisor put its worker into the queue

    async def _supervise(self, worker: DecoderWorker) -> None:
        """Offer a worker, wait for its end, start another one, for ever."""
        try:
            while True:
                self._idle.put_nowait(worker)
                cause = await worker.wait_for_exit()
                self._listener.decoder_died(cause)
                log.warning("a decoder has ended (%s), starting another", cause)
                worker = await self._start_another()
        finally:
            await worker.kill()

    async def _start_another(self) -> DecoderWorker:
        while True:
            try:
                return await DecoderWorker.start(self._settings)
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
        job = Job(
            path=str(path),
            samples=str(worker.samples_path),
            audio=audio,
            window=window,
            max_windows=self._settings.max_windows,
            first=first,
            count=part.stop - first if part else self._settings.max_windows,
        )
        # A task of its own, shielded: a caller that is cancelled does not end a running job, whose
        # process would have to be killed with it.
        task = asyncio.create_task(worker.decode(job))
        self._jobs.add(task)
        task.add_done_callback(functools.partial(self._release, worker))
        return await asyncio.shield(task)

    async def _acquire(self) -> DecoderWorker:
        self.waiting += 1
        try:
            while not (worker := await self._idle.get()).is_alive:
                pass  # it ended while idle: its supervisor starts another one
            return worker
        finally:
            self.waiting -= 1

    def _release(self, worker: DecoderWorker, task: asyncio.Task[Windows]) -> None:
        if not worker.is_killed:
            self._idle.put_nowait(worker)
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio logs none where the caller has left

    async def close(self) -> None:
        tasks = [*self._jobs, *self._supervisors]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
