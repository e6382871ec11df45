"""Hearing: what several models, or several requests, need of one upload is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from typing import TypeVar

from models.audio import Windows
from models.card import AudioInput
from models.window import WindowChoice
from service.admit import Admission
from service.batch import Batcher, Inferred
from service.decode import DecodePool
from service.session import Model
from service.upload import Upload

K = TypeVar("K")
T = TypeVar("T")


class Hearing:
    """One upload and one choice of window: decoded once an audio input, each graph run once.

    Attributes
    ----------
    ends : what happens when the last computation that it is kept for is over
    """

    def __init__(
        self,
        upload: Upload,
        choice: WindowChoice,
        decoders: DecodePool,
        batchers: Mapping[str, Batcher],
    ) -> None:
        self.upload, self.choice = upload, choice
        self.ends = ExitStack()
        self._decoders, self._batchers = decoders, batchers
        self._decoded: dict[AudioInput, asyncio.Task[Windows]] = {}
        self._ran: dict[str, asyncio.Task[list[Inferred]]] = {}
        self._admitted = False
        self._users = 0

    def keep_for(self, computation: asyncio.Task[T]) -> None:
        """Stay open until it is over."""
        self._users += 1
        computation.add_done_callback(self._left)

    def _left(self, computation: asyncio.Task[T]) -> None:
        self._users -= 1
        if not self._users:
            self.ends.close()

    def admit(self, admission: Admission) -> None:
        """Hold one place for everything that is computed here.

        Raises
        ------
        Busy
        """
        if not self._admitted:
            self.ends.enter_context(admission.admit())
            self._admitted = True

    async def windows(self, audio: AudioInput) -> Windows:
        """The chosen windows, decoded for that input.

        Raises
        ------
        AudioError, DecoderLost
        """
        return await _once(self._decoded, audio, lambda: self._decode(audio))

    async def rows(self, model: Model) -> list[Inferred]:
        """What a model puts out for each window.

        Raises
        ------
        AudioError, DecoderLost, InferenceFailed, InferenceTimeout, Unavailable
        """
        return await _once(self._ran, model.card.name, lambda: self._run(model))

    async def _decode(self, audio: AudioInput) -> Windows:
        return await self._decoders.decode(self.upload.spool.path, audio, str(self.choice))

    async def _run(self, model: Model) -> list[Inferred]:
        batcher = self._batchers[model.card.name]
        if model.encoder is None:
            windows = await self.windows(model.card.audio)
            return await asyncio.gather(*map(batcher.run, windows.samples))
        encoded = await self.rows(model.encoder)
        own = await asyncio.gather(*(batcher.run(row.outputs[model.input]) for row in encoded))
        return [
            Inferred(
                model.complete(row.outputs, head.outputs),
                row.queue_ms + head.queue_ms,
                row.infer_ms + head.infer_ms,
            )
            for row, head in zip(encoded, own, strict=True)
        ]


def _once(
    made: dict[K, asyncio.Task[T]], key: K, make: Callable[[], Coroutine[None, None, T]]
) -> asyncio.Task[T]:
    if key not in made:
        made[key] = asyncio.create_task(make())
    return made[key]
