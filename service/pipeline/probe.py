"""Readiness probe: a short sound through a decoder process and the queue of every model."""

from __future__ import annotations

import asyncio
import io
import logging
import math
import time
import wave

import numpy as np

from models.audio.window_choice import WindowChoice
from models.errors import TasteprintError
from service.errors import Unavailable
from service.pipeline.audio_job import AudioJob
from service.pipeline.pipeline import Pipeline
from service.pipeline.single_flight import SingleFlight
from service.schemas.responses import Readiness, RefusedModel
from service.transport.upload import Upload, UploadBudget

PROBE_TIMEOUT_S = 10.0
VALID_S = 1.0

log = logging.getLogger("tasteprint")


class ReadinessProbe:
    """Readiness probe: checks that the service answers; concurrent calls share one run.

    A success is valid for a second, so that frequent calls cost next to nothing.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._probes: SingleFlight[str, float] = SingleFlight()
        models = pipeline.models.loaded.values()
        self._sound = probe_sound(max(1.0, *(model.card.audio.min_audio_s for model in models)))
        self._valid_until_s = 0.0
        self._probe_ms = 0.0

    async def ready(self, *, details: bool = True) -> Readiness:
        """Run the probe, or return the last success where it is still valid.

        Parameters
        ----------
        details : whether to state providers, cache and refused models

        Raises
        ------
        Unavailable
            Where the probe fails or takes longer than 10 s, or the service is stopping.
        """
        self._pipeline.check_open()
        if time.monotonic() >= self._valid_until_s:
            self._probe_ms = await self._probes.call("probe", self._run)
            self._valid_until_s = time.monotonic() + VALID_S
        ready = Readiness(status="ready", probe_ms=self._probe_ms)
        return ready.model_copy(update=self._details()) if details else ready

    def _details(self) -> dict[str, object]:
        models = self._pipeline.models
        refused = [
            RefusedModel(name=name, reason=reason) for name, reason in models.refused.items()
        ]
        return {
            "providers": {name: model.provider for name, model in models.loaded.items()},
            "cache": self._pipeline.cache.describe(),
            "refused": refused,
        }

    async def _run(self) -> float:
        """Run the probe; returns its duration in milliseconds."""
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._run_every_model()
        except TasteprintError as error:
            log.error("the readiness probe failed: %s", error)
            raise Unavailable(f"the readiness probe failed ({type(error).__name__})") from error
        except TimeoutError as error:
            raise Unavailable("the readiness probe timed out", limit=PROBE_TIMEOUT_S) from error
        return round(1e3 * (time.perf_counter() - started_s), 2)

    async def _run_every_model(self) -> None:
        size = len(self._sound)
        upload = Upload(size, UploadBudget(size))
        upload.write(self._sound)
        choice, components = WindowChoice(), self._pipeline.components()
        job = AudioJob(upload, upload.sha256, choice.text, choice, components)
        with job.acquire():
            for model in self._pipeline.models.loaded.values():
                await job.run_model(model)

    async def close(self) -> None:
        await self._probes.close()


def probe_sound(seconds: float) -> bytes:
    """Noise at a tenth of full scale as a WAV file of that length."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, math.ceil(16_000 * seconds))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((noise * 32767).astype("<i2").tobytes())
    return buffer.getvalue()
