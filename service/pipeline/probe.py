"""Readiness: a short sound goes through a real decoder and every model's real queue."""

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
from service.observability.context import Timing
from service.pipeline.audio_job import Hearing
from service.pipeline.pipeline import Pipeline
from service.pipeline.single_flight import Once
from service.schemas.responses import Readiness, RefusedModel
from service.transport.upload import Upload
from service.transport.upload_limits import HeldBytes

PROBE_TIMEOUT_S = 10.0
PROOF_S = 1.0

log = logging.getLogger("tasteprint")


class Probe:
    """Proves that the service answers; probes that come at the same time share one.

    A proof holds for a second: who asks all the time takes no part of the machine by that.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._probes: Once[str, float] = Once()
        models = pipeline.models.loaded.values()
        self._sound = probe_sound(max(1.0, *(model.card.audio.min_audio_s for model in models)))
        self._proven_until = 0.0
        self._probe_ms = 0.0

    async def ready(self, *, details: bool = True) -> Readiness:
        """What a load balancer may rely on; the details are not for everybody.

        Raises
        ------
        Unavailable
            Where the probe fails or takes longer than 10 s, or the service is ending.
        """
        self._pipeline.check_open()
        if time.monotonic() >= self._proven_until:
            self._probe_ms = await self._probes.get("probe", self._run)
            self._proven_until = time.monotonic() + PROOF_S
        ready = Readiness(status="ready", probe_ms=self._probe_ms)
        return ready.model_copy(update=self._details()) if details else ready

    def _details(self) -> dict[str, object]:
        models = self._pipeline.models
        refused = [RefusedModel(name=name, reason=why) for name, why in models.refused.items()]
        return {
            "providers": {name: model.provider for name, model in models.loaded.items()},
            "cache": self._pipeline.cache.describe(),
            "refused": refused,
        }

    async def _run(self) -> float:
        timing = Timing()
        try:
            with timing.stage("probe"):
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    await self._through_every_model()
        except TasteprintError as error:
            log.error("the probe failed: %s", error)
            raise Unavailable(f"the probe failed ({type(error).__name__})") from error
        except TimeoutError as error:
            raise Unavailable("the probe got no answer in time", limit=PROBE_TIMEOUT_S) from error
        return round(timing.stages_ms["probe"], 2)

    async def _through_every_model(self) -> None:
        size = len(self._sound)
        upload = Upload(size, HeldBytes(size))
        upload.write(self._sound)
        pipeline = self._pipeline
        hearing = Hearing(upload, WindowChoice(), pipeline.decoders, pipeline.batchers)
        with hearing.used():
            for model in pipeline.models.loaded.values():
                await hearing.heard_by(model)

    async def close(self) -> None:
        await self._probes.close()


def probe_sound(seconds: float) -> bytes:
    """Quiet noise as a WAV."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, math.ceil(16_000 * seconds))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((noise * 32767).astype("<i2").tobytes())
    return buffer.getvalue()
