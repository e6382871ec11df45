"""Readiness probe: a short sound through a real decoder and the real queue of every model."""

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
PROOF_S = 1.0

log = logging.getLogger("tasteprint")


class Probe:
    """Proves that the service answers; concurrent calls share one probe.

    A proof holds for a second, so that frequent calls take no noticeable part of the machine.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._probes: SingleFlight[str, float] = SingleFlight()
        models = pipeline.models.loaded.values()
        self._sound = probe_sound(max(1.0, *(model.card.audio.min_audio_s for model in models)))
        self._proven_until_s = 0.0
        self._probe_ms = 0.0

    async def ready(self, *, details: bool = True) -> Readiness:
        """Proof for a load balancer that the service answers.

        Parameters
        ----------
        details : whether to state providers, cache and refused models

        Raises
        ------
        Unavailable
            Where the probe fails or takes longer than 10 s, or the service is stopping.
        """
        self._pipeline.check_open()
        if time.monotonic() >= self._proven_until_s:
            self._probe_ms = await self._probes.call("probe", self._run)
            self._proven_until_s = time.monotonic() + PROOF_S
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
        """Milliseconds that the probe took."""
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._run_every_model()
        except TasteprintError as error:
            log.error("the probe failed: %s", error)
            raise Unavailable(f"the probe failed ({type(error).__name__})") from error
        except TimeoutError as error:
            raise Unavailable("the probe got no answer in time", limit=PROBE_TIMEOUT_S) from error
        return round(1e3 * (time.perf_counter() - started_s), 2)

    async def _run_every_model(self) -> None:
        size = len(self._sound)
        upload = Upload(size, UploadBudget(size))
        upload.write(self._sound)
        choice, stages = WindowChoice(), self._pipeline.stages()
        job = AudioJob(upload, upload.sha256, choice.text, choice, stages)
        with job.acquire():
            for model in self._pipeline.models.loaded.values():
                await job.run_model(model)

    async def close(self) -> None:
        await self._probes.close()


def probe_sound(seconds: float) -> bytes:
    """Quiet noise as a WAV file."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, math.ceil(16_000 * seconds))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((noise * 32767).astype("<i2").tobytes())
    return buffer.getvalue()
