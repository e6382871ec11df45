"""Decode: only the window that is needed, in processes that may crash or hang alone."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from models.audio import Windows
from models.card import AudioInput
from service.decoder import Decoder
from service.decoder_messages import Job
from service.observer import SILENT, Observer
from service.settings import Settings

log = logging.getLogger("tasteprint")


class DecodePool:
    """`decode_workers` processes, one job each at a time; one that has ended is replaced."""

    def __init__(self, settings: Settings, observer: Observer = SILENT) -> None:
        self._settings = settings
        self._observer = observer
        self.waiting = 0  # jobs that no process has taken
        # The one that worked last goes first: its memory is warm. None is one to be started.
        self._idle: asyncio.LifoQueue[Decoder | None] = asyncio.LifoQueue()
        self._decoders: set[Decoder] = set()

    async def start(self) -> None:
        """Start all processes; returns when each takes jobs."""
        starts = (self._replace(None) for _ in range(self._settings.decode_workers))
        for decoder in await asyncio.gather(*starts):
            self._idle.put_nowait(decoder)

    async def _replace(self, ended: Decoder | None) -> Decoder:
        if ended is not None:
            code = await ended.stop()
            self._observer.decoder_died(ended.cause)
            log.warning("a decoder has ended (status %d), starting another", code)
            self._decoders.discard(ended)
        decoder = await Decoder.start(self._settings)
        self._decoders.add(decoder)
        return decoder

    async def decode(self, path: Path, audio: AudioInput, window: str) -> Windows:
        """Wait for a free process and decode the chosen windows of the file at `path` there.

        Raises
        ------
        AudioError, DecoderLost
        """
        self.waiting += 1
        try:
            decoder = await self._idle.get()
        finally:
            self.waiting -= 1
        try:
            if decoder is None or not decoder.alive:
                ended, decoder = decoder, None
                decoder = await self._replace(ended)
            return await decoder.decode(
                Job(
                    path=str(path),
                    samples=str(decoder.samples_path),
                    audio=audio,
                    window=window,
                    max_windows=self._settings.max_windows,
                )
            )
        finally:
            self._idle.put_nowait(decoder)

    async def close(self) -> None:
        await asyncio.gather(*(decoder.stop() for decoder in self._decoders))
