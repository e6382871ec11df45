"""Hearing: what several models, or several requests, need of one upload is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.audio.window_choice import WindowChoice
from models.audio.windows import Windows, silent
from models.card import OUTPUTS, AudioInput
from service.decoding.pool import DecodePool
from service.inference.batcher import Batcher, Inferred
from service.inference.session import Model
from service.observability.context import Timing
from service.pipeline.admission import Admission
from service.pipeline.single_flight import Once
from service.schemas.responses import AudioHeard, Computed, Vector, WindowUsed
from service.transport.upload import Upload

# Windows of one upload that are in work at a time. More of them wait their turn behind other
# requests, and no more of them are in memory.
AT_A_TIME = 4


@dataclass(frozen=True)
class Heard:
    """What a model puts out for some windows: `rows` has one for each of `windows.starts_s`.

    The samples are no longer among the windows.
    """

    windows: Windows
    rows: list[Inferred]

    @classmethod
    def of(cls, windows: Windows, rows: list[Inferred]) -> Heard:
        return cls(replace(windows, samples=np.empty((0, 0), np.float32)), rows)

    def __add__(self, later: Heard) -> Heard:
        starts_s = self.windows.starts_s + later.windows.starts_s
        quiet_peak = max(self.windows.quiet_peak, later.windows.quiet_peak)
        windows = replace(self.windows, starts_s=starts_s, quiet_peak=quiet_peak)
        return Heard(windows, self.rows + later.rows)


class Hearing:
    """One upload and one choice of window: decoded once an audio input, each graph run once."""

    def __init__(
        self,
        upload: Upload,
        choice: WindowChoice,
        decoders: DecodePool,
        batchers: Mapping[str, Batcher],
    ) -> None:
        self.upload, self.choice = upload, choice
        self._ends = ExitStack()
        self._ends.callback(upload.close)
        self._decoders, self._batchers = decoders, batchers
        # The models of a request go through its parts side by side: only the last ones are shared.
        self._decoded: Once[tuple[AudioInput, int], Windows] = Once(keep=2)
        self._ran: Once[tuple[str, int], Heard] = Once(keep=2 * len(batchers))
        self._path: Once[str, Path] = Once(keep=1)
        self._admitted = False
        self._users = 0

    @contextmanager
    def used(self) -> Iterator[None]:
        """Stays open, and holds its place and its upload, until its last use is over."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._ends.close()

    def at_end(self, callback: Callable[[], object]) -> None:
        self._ends.callback(callback)

    @property
    def windows_at_a_time(self) -> int:
        return AT_A_TIME if self.choice.mode == "all" else 1

    def admit(self, admission: Admission) -> None:
        """Hold places for everything that is computed here.

        Raises
        ------
        Busy
        """
        if not self._admitted:
            self._ends.enter_context(admission.admit(self.windows_at_a_time))
            self._admitted = True

    async def heard_by(self, model: Model) -> Heard:
        """Every chosen window through one model, a part at a time.

        Raises
        ------
        AudioError, DecoderLost, InferenceFailed, InferenceTimeout, Unavailable
        """
        heard = await self._part(model, 0)
        for first in range(AT_A_TIME, heard.windows.n_chosen, AT_A_TIME):
            heard += await self._part(model, first)
        if not heard.rows:
            raise silent(heard.windows.quiet_peak)
        return heard

    async def windows(self, audio: AudioInput, first: int = 0) -> Windows:
        """The part of the chosen windows that begins there, decoded for that input."""
        return await self._decoded.get((audio, first), lambda: self._decode(audio, first))

    async def _part(self, model: Model, first: int) -> Heard:
        return await self._ran.get((model.card.name, first), lambda: self._run(model, first))

    async def _decode(self, audio: AudioInput, first: int) -> Windows:
        part = slice(first, first + AT_A_TIME)
        path = await self._path.get("path", self.upload.path)
        return await self._decoders.decode(path, audio, str(self.choice), part=part)

    async def _run(self, model: Model, first: int) -> Heard:
        batcher = self._batchers[model.card.name]
        if model.encoder is None:
            windows = await self.windows(model.card.audio, first)
            return Heard.of(windows, await asyncio.gather(*map(batcher.run, windows.samples)))
        encoded = await self._part(model.encoder, first)
        own = await asyncio.gather(*(batcher.run(row.outputs[model.input]) for row in encoded.rows))
        rows = [
            Inferred(
                model.complete(row.outputs, head.outputs),
                row.queue_ms + head.queue_ms,
                row.infer_ms + head.infer_ms,
            )
            for row, head in zip(encoded.rows, own, strict=True)
        ]
        return Heard(encoded.windows, rows)


def note(rows: list[Inferred], timing: Timing) -> None:
    infer_ms = max(row.infer_ms for row in rows)
    timing.add("queue", max(row.queue_ms for row in rows), ago_ms=infer_ms)
    timing.add("infer", infer_ms)


def remember(hearing: Hearing, model: Model, heard: Heard) -> Computed:
    """What the cache keeps: the answer without what a request says of itself."""
    card, facts = model.card, heard.windows.facts
    return Computed(
        outputs={name: mean(heard.rows, name) for name in sorted(OUTPUTS[card.kind])},
        window=WindowUsed(
            starts=[round(start, 6) for start in heard.windows.starts_s],
            seconds=card.audio.window_s,
            how=hearing.choice.mode,
        ),
        audio=AudioHeard(
            sha256=hearing.upload.sha256,
            duration=round(facts.duration_s, 6),
            codec=facts.codec,
            rate=facts.sample_rate,
            channels=facts.channels,
        ),
    )


def mean(rows: list[Inferred], output: str) -> Vector:
    """Mean over windows as numbers that read back to the same float32: (n, dim) -> (dim,)."""
    vector = np.stack([row.outputs[output] for row in rows]).mean(0)
    # The shortest decimal of each float32, not the twice as long one of its float64.
    return [float(str(value)) for value in vector]
