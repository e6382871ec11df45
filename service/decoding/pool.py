"""Decode: only the windows that are needed, in processes that may crash or hang alone."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from models.audio.windows import Windows
from models.card import AudioInput
from service.decoding.messages import Job
from service.decoding.worker import Decoder
from service.errors import DecoderLost
from service.observability.events import SILENT, Observer
from service.settings import Settings

# Between two tries to start a process, where the first one failed.
RETRY_S = 1.0

log = logging.getLogger("tasteprint")


class DecodePool:
    """`decode_workers` processes, one job each at a time; one that ends is replaced at once."""

    def __init__(self, settings: Settings, observer: Observer = SILENT) -> None:
        self._settings = settings
        self._observer = observer
        # The one that worked last goes first: its memory is warm.
        self._idle: asyncio.LifoQueue[Decoder] = asyncio.LifoQueue()
        self._keepers: list[asyncio.Task[None]] = []
        self._turns: set[asyncio.Task[Windows]] = set()
        self.waiting = 0

    async def start(self) -> None:
        """Start all processes; returns when each takes jobs.

        Raises
        ------
        DecoderLost
        """
        count = self._settings.decode_workers
        async with asyncio.TaskGroup() as group:
            starts = [group.create_task(Decoder.start(self._settings)) for _ in range(count)]
        self._keepers = [asyncio.create_task(self._keep(start.result())) for start in starts]
        await asyncio.sleep(0)  # lets each of them offer its process

    async def _keep(self, decoder: Decoder) -> None:
        """Offer a process, wait for its end, offer another."""
        try:
            while True:
                self._idle.put_nowait(decoder)
                death = await decoder.ended()
                self._observer.decoder_died(death)
                log.warning("a decoder has ended (%s), starting another", death)
                decoder = await self._another()
        finally:
            await decoder.stop()

    async def _another(self) -> Decoder:
        while True:
            try:
                return await Decoder.start(self._settings)
            except (DecoderLost, OSError) as error:
                log.error("%s; trying again", error)
                await asyncio.sleep(RETRY_S)

    async def decode(
        self, path: Path, audio: AudioInput, window: str, part: slice | None = None
    ) -> Windows:
        """Wait for a free process and decode chosen windows of the file at `path` there.

        Parameters
        ----------
        part : which of the chosen windows; all of them by default

        Raises
        ------
        AudioError, DecoderLost
        """
        decoder = await self._free()
        first = part.start if part else 0
        job = Job(
            path=str(path),
            samples=str(decoder.samples_path),
            audio=audio,
            window=window,
            max_windows=self._settings.max_windows,
            first=first,
            count=part.stop - first if part else self._settings.max_windows,
        )
        # A task of its own: an asker that leaves does not end a job that runs, whose process
        # would have to be ended with it.
        turn = asyncio.create_task(self._turn(decoder, job))
        self._turns.add(turn)
        turn.add_done_callback(self._over)
        return await asyncio.shield(turn)

    async def _free(self) -> Decoder:
        self.waiting += 1
        try:
            while not (decoder := await self._idle.get()).alive:
                pass  # another one is being started in its place
            return decoder
        finally:
            self.waiting -= 1

    async def _turn(self, decoder: Decoder, job: Job) -> Windows:
        try:
            return await decoder.decode(job)
        finally:
            if decoder.alive:
                self._idle.put_nowait(decoder)

    def _over(self, turn: asyncio.Task[Windows]) -> None:
        self._turns.discard(turn)
        if not turn.cancelled():
            turn.exception()  # looked at, so that asyncio reports none where the asker has left

    async def close(self) -> None:
        tasks = [*self._turns, *self._keepers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
