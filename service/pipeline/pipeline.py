"""The way of a request: upload → digest → cache → admit → decode → batch → respond, remember."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
from starlette.requests import Request

from models.audio.window_choice import WindowChoice
from models.card import OUTPUTS
from models.errors import TasteprintError
from service.cache.cache import cache_key, open_cache
from service.decoding.pool import DecodePool
from service.errors import Stopping
from service.inference.batcher import Batcher
from service.inference.registry import Models
from service.inference.session import Model
from service.observability.context import Timing
from service.observability.events import SILENT, Observer
from service.pipeline.admission import Admission
from service.pipeline.audio_job import Hearing, mean, note, remember
from service.pipeline.cancellation import while_wanted
from service.pipeline.single_flight import Once
from service.schemas.responses import Computed
from service.settings import Settings
from service.transport.upload import Upload, receive
from service.transport.upload_limits import HeldBytes

log = logging.getLogger("tasteprint")


@dataclass(frozen=True)
class Asked:
    """What a request asks of its upload: the answers of one or several models."""

    models: tuple[Model, ...]
    choice: WindowChoice
    timing: Timing


@dataclass(frozen=True)
class Answered:
    """A model's answer; `cached` where it was not computed for this request."""

    model: Model
    computed: Computed
    cached: bool


class Pipeline:
    """The stages, each made once, and the order in which a request passes them."""

    def __init__(self, settings: Settings, models: Models, observer: Observer = SILENT) -> None:
        self.settings = settings
        self.models = models
        self._observer = observer
        self.held = HeldBytes(settings.max_held_bytes)
        self.cache = open_cache(settings, observer)
        self.computing: Once[str, Answered] = Once()
        self.hearings: dict[str, Hearing] = {}
        self.admission = Admission(settings.max_in_flight)
        self.decoders = DecodePool(settings, observer)
        self.batchers: dict[str, Batcher] = {}
        self.requests = 0
        self.stopping = False

    async def start(self) -> None:
        for name, model in self.models.loaded.items():
            self.batchers[name] = Batcher(model, self.settings.infer_timeout_s, self._observer)
        await self.decoders.start()

    async def close(self) -> None:
        await self.computing.close()
        for batcher in self.batchers.values():
            await batcher.close()
        await self.decoders.close()
        await self.cache.close()

    def stop(self) -> None:
        """Take no more work; what was taken is finished."""
        self.stopping = True

    def check_open(self) -> None:
        """Refuse new work where the service is ending.

        Raises
        ------
        Unavailable
        """
        if self.stopping:
            raise Stopping("the service is stopping")

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Counts a request from its first byte to its answer: none is lost where the service stops.

        Raises
        ------
        Unavailable
        """
        self.check_open()
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    async def answer(self, request: Request, asked: Asked) -> list[Answered | TasteprintError]:
        """What each model answers to one upload, or why it does not, in the order asked for.

        Raises
        ------
        TasteprintError
            Where there is no upload to ask about.
        """
        with self.taken():
            self.admission.check()  # before its body is read: what is full refuses at once
            with asked.timing.stage("upload"):
                upload = await receive(request, self.settings, self.held)
            with ExitStack() as ours:
                ours.callback(upload.close)
                known = await self.known(upload.sha256, asked)
                if all(known):
                    return [each for each in known if each]
                ours.pop_all()  # from here on it is the hearing's
            with self.hear(upload, asked.choice) as hearing:
                work = self.answers(hearing, asked, known)
                return await while_wanted(request, work, self.settings.deadline_s)

    async def known(self, sha256: str, asked: Asked) -> list[Answered | None]:
        """What each model is remembered to have answered; None also where that is under way."""
        with asked.timing.stage("cache"):
            window = str(asked.choice)
            return [await self.remembered(sha256, window, model) for model in asked.models]

    async def remembered(self, sha256: str, window: str, model: Model) -> Answered | None:
        key = cache_key(sha256, window, model.identity)
        if self.computing.runs(key):
            return None
        known = await self.cache.get(key)
        self._observer.cache("miss" if known is None else "hit")
        return None if known is None else Answered(model, known, cached=True)

    async def answers(
        self, hearing: Hearing, asked: Asked, known: list[Answered | None]
    ) -> list[Answered | TasteprintError]:
        """Every model's answer, what is not known computed."""
        unknown = (model for model, there in zip(asked.models, known, strict=True) if not there)
        each = [self._one(hearing, model, asked.timing) for model in unknown]
        results = iter(await asyncio.gather(*each, return_exceptions=True))
        return [there or _answer_or_error(next(results)) for there in known]

    @contextmanager
    def hear(self, upload: Upload, choice: WindowChoice) -> Iterator[Hearing]:
        """The hearing of that audio and window: the one under way, else a new one."""
        key = f"{upload.sha256}:{choice}"
        if key in self.hearings:
            upload.close()
        else:
            hearing = Hearing(upload, choice, self.decoders, self.batchers)
            hearing.at_end(lambda: self.hearings.pop(key))
            self.hearings[key] = hearing
        with self.hearings[key].used():
            yield self.hearings[key]

    async def _one(self, hearing: Hearing, model: Model, timing: Timing) -> Answered:
        """A model's answer: of the computation under way, else of a new one."""
        key = key_of(hearing, model)

        def compute() -> Coroutine[None, None, Answered]:
            return self._computed(key, hearing, model, timing)

        if self.computing.runs(key):
            with timing.stage("shared"):
                return replace(await self.computing.get(key, compute), cached=True)
        return await self.computing.get(key, compute)

    async def _computed(self, key: str, hearing: Hearing, model: Model, timing: Timing) -> Answered:
        with hearing.used():
            hearing.admit(self.admission)
            computed = await self._on_known(hearing, model, timing)
            if computed is None:
                computed = await self._compute(hearing, model, timing)
        with timing.stage("remember"):
            await self.cache.put(key, computed)
        log.debug("computed %s: %s", key, timing.header())
        return Answered(model, computed, cached=False)

    async def _on_known(self, hearing: Hearing, model: Model, timing: Timing) -> Computed | None:
        """A head's answer from what is remembered of its encoder, without decoding.

        None where that is nothing, or the mean of several windows: a head takes each.
        """
        if model.encoder is None:
            return None
        known = await self.cache.get(key_of(hearing, model.encoder))
        if known is None or len(known.window.starts) > 1:
            return None
        vector = np.array(known.outputs[model.input], np.float32)
        own = await self.batchers[model.card.name].run(vector)
        note([own], timing)
        outputs = known.outputs | {name: mean([own], name) for name in model.outputs}
        kept = {name: outputs[name] for name in sorted(OUTPUTS[model.card.kind])}
        return known.model_copy(update={"outputs": kept})

    async def _compute(self, hearing: Hearing, model: Model, timing: Timing) -> Computed:
        with timing.stage("decode"):
            await hearing.windows(model.card.audio)
        heard = await hearing.heard_by(model)
        note(heard.rows, timing)
        return remember(hearing, model, heard)


def key_of(hearing: Hearing, model: Model) -> str:
    return cache_key(hearing.upload.sha256, str(hearing.choice), model.identity)


def own(result: Answered | TasteprintError) -> Answered:
    """The answer of one model, by itself.

    Raises
    ------
    TasteprintError
    """
    if isinstance(result, TasteprintError):
        raise result
    return result


def _answer_or_error(result: Answered | BaseException) -> Answered | TasteprintError:
    """An answer or an error that is a model's own; whatever else was raised is raised on."""
    if isinstance(result, Answered | TasteprintError):
        return result
    raise result
