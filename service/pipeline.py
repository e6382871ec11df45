"""The way of a request: upload → digest → cache → admit → decode → batch → respond, remember."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from starlette.requests import Request

from models.audio import Windows
from models.window import WindowChoice
from service.admit import Admission, HeldBytes
from service.answers import AudioHeard, Computed, Embedding, ModelUsed, Vector, WindowUsed
from service.batch import Batcher, Inferred
from service.cache import cache_key, open_cache
from service.decode import DecodePool
from service.flight import Flights
from service.session import Model, Models
from service.settings import Settings
from service.timing import Timing
from service.upload import Upload, receive

log = logging.getLogger("tasteprint")


@dataclass(frozen=True)
class Asked:
    """What a request asks of its upload."""

    model: Model
    choice: WindowChoice
    timing: Timing


class Pipeline:
    """The stages, each made once, and the order in which a request passes them."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self.settings = settings
        self.models = models
        self.held = HeldBytes(settings.max_held_bytes)
        self.cache = open_cache(settings)
        self.flights: Flights[Embedding] = Flights()
        self.admission = Admission(settings.max_in_flight)
        self.decoders = DecodePool(settings)
        self.batchers: dict[str, Batcher] = {}

    async def start(self) -> None:
        for name, model in self.models.loaded.items():
            self.batchers[name] = Batcher(model, self.settings.infer_timeout_s)
        await self.decoders.start()

    async def close(self) -> None:
        await self.flights.close()
        for batcher in self.batchers.values():
            await batcher.close()
        await self.decoders.close()
        await self.cache.close()

    async def embed(self, request: Request, asked: Asked) -> Embedding:
        """Answer one upload.

        Raises
        ------
        TasteprintError
            The subclass says which: see `service.errors` and `models.errors`.
        """
        with asked.timing.stage("upload"):
            upload = await receive(request, self.settings, self.held)
        key = cache_key(upload.sha256, str(asked.choice), asked.model.bundle.digest)
        running = self.flights.find(key)
        if running is not None:  # the same audio is on its way already
            upload.close()
            with asked.timing.stage("shared"):
                shared = await asyncio.shield(running)
            return shared.model_copy(update={"cached": True})
        # Not this request's own task: it goes on for the others, and the cache, if this one leaves.
        return await asyncio.shield(self.flights.start(key, self._answer(key, upload, asked)))

    async def _answer(self, key: str, upload: Upload, asked: Asked) -> Embedding:
        timing = asked.timing
        with closing(upload):
            with timing.stage("cache"):
                known = await self.cache.get(key)
            if known is not None:
                return respond(asked.model, known, cached=True)
            with self.admission.admit():
                with timing.stage("decode"):
                    windows = await self._decode(upload, asked)
                embedding, features = await self.infer(asked.model, windows, timing)
        computed = remember(upload, asked, windows, embedding, features)
        with timing.stage("remember"):
            await self.cache.put(key, computed)
        log.debug("computed %s: %s", key, timing.header())
        return respond(asked.model, computed, cached=False)

    async def _decode(self, upload: Upload, asked: Asked) -> Windows:
        audio = asked.model.card.audio
        return await self.decoders.decode(upload.spool.path, audio, str(asked.choice))

    async def infer(self, model: Model, windows: Windows, timing: Timing) -> tuple[Vector, Vector]:
        """Embedding and features, the mean over the windows of each."""
        batcher = self.batchers[model.card.name]
        rows = await asyncio.gather(*(batcher.run(window) for window in windows.samples))
        timing.add("queue", max(row.queue_ms for row in rows))
        timing.add("infer", max(row.infer_ms for row in rows))
        return mean(rows, "embedding"), mean(rows, "features")


def mean(rows: list[Inferred], output: str) -> Vector:
    """Mean over windows as numbers that read back to the same float32: (n, dim) -> (dim,)."""
    vector = np.stack([row.outputs[output] for row in rows]).mean(0)
    # The shortest decimal of each float32, not the twice as long one of its float64.
    return [float(str(value)) for value in vector]


def remember(
    upload: Upload, asked: Asked, windows: Windows, embedding: Vector, features: Vector
) -> Computed:
    """What the cache keeps: the answer without what a request says of itself."""
    facts = windows.facts
    return Computed(
        embedding=embedding,
        features=features,
        window=WindowUsed(
            starts=[round(start, 6) for start in windows.starts_s],
            seconds=asked.model.card.audio.window_s,
            how=asked.choice.mode,
        ),
        audio=AudioHeard(
            sha256=upload.sha256,
            duration=round(facts.duration_s, 6),
            codec=facts.codec,
            rate=facts.sample_rate,
            channels=facts.channels,
        ),
    )


def respond(model: Model, computed: Computed, *, cached: bool) -> Embedding:
    return Embedding(
        model=ModelUsed(
            name=model.card.name, version=model.card.version, digest=model.bundle.digest
        ),
        embedding=computed.embedding,
        features=computed.features,
        window=computed.window,
        audio=computed.audio,
        cached=cached,
    )
