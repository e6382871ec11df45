"""Pipeline: owner of a request's work from the upload to the models' answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from starlette.requests import Request

from models.audio.signal.levels import silent_error
from models.audio.window_choice import WindowChoice
from models.audio.windows import Windows
from models.bundle import Bundle
from models.card import AudioInput
from models.errors import TasteprintError
from service.cache.memory import cache_key, open_cache
from service.decoding.pool import DecodePool
from service.errors import Stopping, status_of, type_of
from service.inference.batcher import Batcher
from service.inference.model import Model
from service.inference.registry import ModelRegistry
from service.observability.context import (
    ModelOutcome,
    RequestContext,
    StageTimer,
    outcome_of,
    reason_of,
)
from service.observability.events import NO_LISTENER, EventListener
from service.pipeline.admission import Admission
from service.pipeline.audio_job import AudioJob, PipelineComponents
from service.pipeline.cancellation import run_until_disconnect
from service.pipeline.lazy_loader import LazyLoader
from service.pipeline.model_request import ModelAnswer, ModelRequest, ModelResult
from service.pipeline.reloader import Reloader
from service.settings import Settings
from service.transport.single_upload import receive_upload
from service.transport.upload import AudioSource, UploadBudget

Results = list[ModelResult]
# Cancellation policy: awaits the work on an upload, and cancels it on a disconnect or a deadline.
CancellationPolicy = Callable[[Coroutine[Any, Any, Results]], Awaitable[Results]]


class Pipeline:
    """Owner of the service's components, and of the order in which an upload passes through them.

    Attributes
    ----------
    jobs : running jobs, by the upload's SHA-256 and its window
    requests : number of requests in progress
    """

    def __init__(
        self, settings: Settings, models: ModelRegistry, listener: EventListener = NO_LISTENER
    ) -> None:
        self.settings = settings
        self.models = models
        self._listener = listener
        self.upload_budget = UploadBudget(settings.max_held_bytes)
        self.cache = open_cache(settings, listener)
        self.admission = Admission(settings.max_in_flight)
        self.decoders = DecodePool(settings, listener)
        self.batchers: dict[str, Batcher] = {}
        self.reloader = Reloader(
            models, settings, self._start_batcher, self._retire_batcher, self.batchers
        )
        # Batchers of replaced models that requests may still have, by the model's identity.
        self._retired: dict[str, Batcher] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._lazy_loader = LazyLoader(models, self._start_batcher, settings.deadline_s)
        self.jobs: dict[str, AudioJob] = {}
        self.requests = 0
        self.stopping = False

    async def start(self) -> None:
        for model in self.models.loaded.values():
            self._start_batcher(model)
        await self.decoders.start()

    def _start_batcher(self, model: Model) -> None:
        self.batchers[model.card.name] = self._new_batcher(model)
        self._listener.model_loaded(model.card.name)

    def _new_batcher(self, model: Model) -> Batcher:
        timeout_s = self.settings.infer_timeout_s
        return Batcher(model, timeout_s, self._listener, lambda: self.admission.in_flight <= 1)

    def batcher_of(self, model: Model) -> Batcher:
        """The batcher of a model; a request may still have a model that was replaced."""
        batcher = self.batchers.get(model.card.name)
        if batcher is not None and batcher.model.identity == model.identity:
            return batcher
        if model.identity not in self._retired:
            self._retire_batcher(self._new_batcher(model))
        return self._retired[model.identity]

    def _retire_batcher(self, batcher: Batcher) -> None:
        """Close a batcher when the requests that may have its model have met their deadline."""
        identity = batcher.model.identity
        self._retired[identity] = batcher
        task = asyncio.create_task(self._close_later(identity, batcher))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _close_later(self, identity: str, batcher: Batcher) -> None:
        await asyncio.sleep(self.settings.deadline_s)
        while batcher.waiting or batcher.running:
            await asyncio.sleep(self.settings.infer_timeout_s)
        if self._retired.get(identity) is batcher:
            del self._retired[identity]
        await batcher.close()

    async def close(self) -> None:
        await self.reloader.close()
        await self._lazy_loader.close()
        await asyncio.gather(*[job.close() for job in self.jobs.values()])
        for task in self._retiring:
            task.cancel()
        for batcher in (*self.batchers.values(), *self._retired.values()):
            await batcher.close()
        await self.decoders.close()
        await self.cache.close()

    def stop(self) -> None:
        """Accept no more requests; requests in progress are finished."""
        self.stopping = True

    async def encoder(self, name: str | None, space: str | None = None) -> Model:
        """The model of that name, or the default model of `/embed`.

        Parameters
        ----------
        space : the CF space that its embedding must live in; checked before the model is loaded

        Raises
        ------
        UnknownModel, ModelRefused, OtherSpace, Unavailable
        """
        if space is not None:
            self.models.check_space(name or self.settings.default_model, space)
        default = self.models.loaded.get(self.settings.default_model)
        if name is None and default is not None:  # it is missing where it was refused
            return default
        return await self.load(self.models.find(name or self.settings.default_model))

    async def load(self, bundle: Bundle) -> Model:
        """The model of a bundle; its first request waits until it is loaded.

        Raises
        ------
        ModelRefused, Unavailable
        """
        model = self.models.loaded.get(bundle.card.name)
        if model is not None:
            return model
        with self.track():
            return await self._lazy_loader.load(bundle)

    def check_open(self) -> None:
        """Raise if the service is shutting down.

        Raises
        ------
        Stopping
        """
        if self.stopping:
            raise Stopping("the service is shutting down")

    @contextmanager
    def track(self) -> Iterator[None]:
        """Count a request from its first byte to its answer: a shutdown waits for counted requests.

        Raises
        ------
        Stopping
        """
        self.check_open()
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    async def receive_and_answer(self, request: Request, model_request: ModelRequest) -> Results:
        """Receive the one upload of a request, and run the requested models on it.

        Raises
        ------
        TasteprintError
            Where the upload is invalid, the service is busy, or the deadline has passed.
        """
        with self.track():
            self.admission.check()  # before the body is read: a busy service refuses at once
            with model_request.timer.stage("upload"):
                upload = await receive_upload(request, self.settings, self.upload_budget)
            deadline_s = self.settings.deadline_s
            policy = partial(run_until_disconnect, request, deadline_s=deadline_s)
            return await self.answer(upload, model_request, policy)

    async def receive_and_decode(
        self, request: Request, audio: AudioInput, choice: WindowChoice, timer: StageTimer
    ) -> tuple[str, Windows]:
        """Receive the one upload of a request: its SHA-256, and its one window for that input.

        Raises
        ------
        TasteprintError
            As `receive_and_answer`, and where the window is silent.
        """
        with self.track(), ExitStack() as on_exit:
            self.admission.check()
            with timer.stage("upload"):
                upload = await receive_upload(request, self.settings, self.upload_budget)
            on_exit.callback(upload.close)
            on_exit.enter_context(self.admission.admit())

            async def decode() -> Windows:
                path = await upload.path()
                return await self.decoders.decode(path, audio, choice.text, part=slice(0, 1))

            with timer.stage("decode"):
                windows = await run_until_disconnect(request, decode(), self.settings.deadline_s)
            if not len(windows.samples):
                raise silent_error(windows.silent_peak)
            return upload.sha256, windows

    async def answer(
        self, upload: AudioSource, model_request: ModelRequest, policy: CancellationPolicy
    ) -> Results:
        """Each model's answer or error for one upload or file, in the order of the request.

        Closes the upload.

        Parameters
        ----------
        policy : awaits the work, and cancels it on a disconnect or at a deadline
        """
        with ExitStack() as on_exit:
            on_exit.callback(upload.close)
            with model_request.timer.stage("cache"):
                sha256, window = upload.sha256, model_request.window.text
                known = [
                    await self.look_up(sha256, window, model, levels=model_request.levels)
                    for model in model_request.models
                ]
            if all(known):
                return [answer for answer in known if answer]
            on_exit.pop_all()  # from here on the job owns the upload
        with self._join_job(upload, sha256, window, model_request.window) as job:
            return await policy(job.answer(model_request, known))

    async def look_up(
        self, sha256: str, window: str, model: Model, *, levels: bool = False
    ) -> ModelAnswer | None:
        """The cached answer of a model; None also where the answer is being computed.

        Parameters
        ----------
        levels : an answer without the levels is a miss
        """
        job = self.jobs.get(f"{sha256}:{window}")
        if job is not None and job.is_computing(model):
            return None
        computed = await self.cache.get(cache_key(sha256, window, model.identity))
        answer = None if computed is None else ModelAnswer(model, computed, cached=True)
        if answer is not None and levels and not answer.has_levels:
            answer = None
        self._listener.cache("miss" if answer is None else "hit")
        return answer

    @contextmanager
    def _join_job(
        self, upload: AudioSource, sha256: str, window: str, choice: WindowChoice
    ) -> Iterator[AudioJob]:
        """Context manager: the running job of that audio and window, else a new one."""
        key = f"{sha256}:{window}"
        job = self.jobs.get(key)
        if job is not None:
            upload.close()
        else:
            job = self.jobs[key] = AudioJob(upload, sha256, window, choice, self.components())
            job.on_close(lambda: self.jobs.pop(key))
        with job.acquire():
            yield job

    def components(self) -> PipelineComponents:
        """The components that a job uses."""
        return PipelineComponents(
            self.admission, self.cache, self.decoders, self.batchers, self.batcher_of
        )


def pipeline_of(request: Request) -> Pipeline:
    """The pipeline of the application that serves the request."""
    pipeline: Pipeline = request.app.state.pipeline
    return pipeline


def raise_if_error(result: ModelResult) -> ModelAnswer:
    """Return the answer of one model, or raise its error.

    Raises
    ------
    TasteprintError
        If the result is an error.
    """
    if isinstance(result, TasteprintError):
        raise result
    return result


def note_outcomes(
    context: RequestContext, models: Sequence[Model], results: Sequence[ModelResult]
) -> None:
    """Record each model's outcome in the request context."""
    for model, result in zip(models, results, strict=True):
        context.models.append(_outcome_of(model.card.name, result))


def _outcome_of(name: str, result: ModelResult) -> ModelOutcome:
    if isinstance(result, TasteprintError):
        reason = reason_of(type_of(type(result).__name__))
        return ModelOutcome(name, outcome_of(status_of(result)), reason)
    return ModelOutcome(name, "cached" if result.cached else "computed")
