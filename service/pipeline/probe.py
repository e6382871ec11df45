"""Readiness probe: a short sound through a decoder process and the queues of models."""

from __future__ import annotations

import asyncio
import functools
import io
import logging
import math
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.audio.window_choice import WindowChoice
from models.errors import TasteprintError
from service.errors import Unavailable, UnknownModel
from service.inference.model import Model
from service.pipeline.audio_job import AudioJob
from service.pipeline.pipeline import Pipeline
from service.pipeline.single_flight import SingleFlight
from service.schemas.responses import Readiness, RefusedModel
from service.transport.upload import Upload, UploadBudget

PROBE_TIMEOUT_S = 10.0
VALID_S = 1.0

log = logging.getLogger("tasteprint")


@dataclass(frozen=True)
class Success:
    """A probe that succeeded: the models that it went through, and its duration."""

    models: Sequence[Model]
    probe_ms: float
    valid_until_s: float


class ReadinessProbe:
    """Readiness probe: checks that the service answers; concurrent calls share one run.

    Readiness depends on the default models; any other model is probed by name, apart from them. A
    success is valid for a second, so that frequent calls cost next to nothing.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._probes: SingleFlight[str | None, Success] = SingleFlight()
        self._latest: dict[str | None, Success] = {}

    async def ready(self, name: str | None = None, *, details: bool = True) -> Readiness:
        """Run the probe, or return the last success where it is still valid.

        Parameters
        ----------
        name : of a model to probe, which is loaded first; None probes the default models
        details : whether to state providers, cache and refused models

        Raises
        ------
        UnknownModel
        Unavailable
            Where the probe fails or takes longer than 10 s, or the service is stopping.
        """
        self._pipeline.check_open()
        success = self._latest.get(name)
        if success is None or time.monotonic() >= success.valid_until_s:
            try:
                success = await self._probes.call(name, self._run, name)
            except UnknownModel as error:  # without details, names of models are not stated
                raise error if details else UnknownModel(error.detail, value=error.value) from error
            self._latest[name] = success
        ready = Readiness(status="ready", probe_ms=success.probe_ms)
        return ready.model_copy(update=self._details(success.models)) if details else ready

    def _details(self, probed: Sequence[Model]) -> dict[str, object]:
        models = self._pipeline.models
        refused = [
            RefusedModel(name=name, reason=reason) for name, reason in models.refused.items()
        ]
        return {
            "providers": {model.card.name: model.provider for model in probed},
            "cache": self._pipeline.cache.describe(),
            "refused": refused,
        }

    async def _run(self, name: str | None) -> Success:
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                models = await self._models_of(name)
                await self._run_models(models)
        except UnknownModel:
            raise
        except TasteprintError as error:
            log.error("the readiness probe failed: %s", error)
            raise Unavailable(f"the readiness probe failed ({type(error).__name__})") from error
        except TimeoutError as error:
            raise Unavailable("the readiness probe timed out", limit=PROBE_TIMEOUT_S) from error
        probe_ms = round(1e3 * (time.perf_counter() - started_s), 2)
        return Success(models, probe_ms, time.monotonic() + VALID_S)

    async def _models_of(self, name: str | None) -> Sequence[Model]:
        models = self._pipeline.models
        return models.defaults if name is None else [await self._pipeline.load(models.find(name))]

    async def _run_models(self, models: Sequence[Model]) -> None:
        sound = probe_sound(max([1.0, *(model.card.audio.min_audio_s for model in models)]))
        upload = Upload(len(sound), UploadBudget(len(sound)))
        upload.write(sound)
        choice, components = WindowChoice(), self._pipeline.components()
        job = AudioJob(upload, upload.sha256, choice.text, choice, components)
        with job.acquire():
            for model in models:
                await job.run_model(model)

    async def close(self) -> None:
        await self._probes.close()


@functools.cache
def probe_sound(seconds: float) -> bytes:
    """Noise at a tenth of full scale as a WAV file of that length."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, math.ceil(16_000 * seconds))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((noise * 32767).astype("<i2").tobytes())
    return buffer.getvalue()
