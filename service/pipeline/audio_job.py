"""Audio job: one upload and one choice of window, decoded once and run once through each model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from models.audio.signal.levels import silent_error
from models.audio.spans import patch_starts
from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import Windows
from models.card import REQUIRED_OUTPUTS, AudioInput
from models.errors import TasteprintError
from service.cache.memory import Cache, cache_key
from service.decoding.pool import DecodePool
from service.errors import Busy
from service.inference.batcher import Batcher, WindowResult
from service.inference.model import Model
from service.observability.context import StageTimer
from service.pipeline.admission import Admission
from service.pipeline.model_request import ModelAnswer, ModelRequest, ModelResult
from service.pipeline.single_flight import SingleFlight
from service.schemas.responses import AudioHeard, CachedAnswer, PatchesUsed, Vector, WindowUsed
from service.transport.upload import AudioSource

# Windows of one upload in flight, and so in memory, at a time; the rest queue after other requests.
WINDOWS_AT_A_TIME = 4

log = logging.getLogger("tasteprint")


@dataclass(frozen=True)
class ModelOutputs:
    """A model's outputs for some windows, one row for each of `windows.starts_s`.

    The samples of the windows are dropped.
    """

    windows: Windows
    rows: list[WindowResult]

    @classmethod
    def of(cls, windows: Windows, rows: list[WindowResult]) -> ModelOutputs:
        return cls(replace(windows, samples=np.empty((0, 0), np.float32)), rows)

    def __add__(self, later: ModelOutputs) -> ModelOutputs:
        starts_s = self.windows.starts_s + later.windows.starts_s
        silent_peak = max(self.windows.silent_peak, later.windows.silent_peak)
        notes = dict.fromkeys(self.windows.info.notes + later.windows.info.notes)
        info = replace(self.windows.info, notes=tuple(notes))
        windows = replace(self.windows, info=info, starts_s=starts_s, silent_peak=silent_peak)
        return ModelOutputs(windows, self.rows + later.rows)


@dataclass(frozen=True)
class PipelineComponents:
    """The components that every job of a service uses.

    Attributes
    ----------
    batchers : of the models in use, by name
    batcher_of : a model's batcher, also of a version that was replaced while a request ran
    """

    admission: Admission
    cache: Cache
    decoders: DecodePool
    batchers: Mapping[str, Batcher]
    batcher_of: Callable[[Model], Batcher]


class AudioJob:
    """One upload and one choice of window, shared by all requests for both.

    Each part of the audio is decoded once per audio input and run once through each model, also
    where several models or requests need it. The upload and its admission slots are held until the
    last `acquire` ends.
    """

    def __init__(
        self,
        upload: AudioSource,
        sha256: str,
        window: str,
        choice: WindowChoice,
        components: PipelineComponents,
    ) -> None:
        self._upload, self._sha256 = upload, sha256
        self._window, self._choice = window, choice
        self._components = components
        self._answers: SingleFlight[str, ModelAnswer] = SingleFlight()
        # Identities of models that are computed with the levels, since a request wants them.
        self._with_levels: set[str] = set()
        self._outputs: SingleFlight[tuple[str, int], ModelOutputs] = SingleFlight(
            keep=2 * len(components.batchers)
        )
        # The models of a request go through the parts concurrently: the latest parts are shared.
        self._decoded: SingleFlight[tuple[AudioInput, int], Windows] = SingleFlight(keep=2)
        self._is_admitted = False
        self._n_users = 0
        self._on_close = ExitStack()
        self._on_close.callback(upload.close)

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Context manager: keep the job open; the last user closes the job."""
        self._n_users += 1
        try:
            yield
        finally:
            self._n_users -= 1
            if not self._n_users:
                self._on_close.close()

    def on_close(self, callback: Callable[[], object]) -> None:
        self._on_close.callback(callback)

    def is_computing(self, model: Model) -> bool:
        return self._answers.is_running(model.identity)

    @property
    def n_computing(self) -> int:
        """Number of answers being computed."""
        return len(self._answers)

    async def answer(
        self, model_request: ModelRequest, known: Sequence[ModelAnswer | None]
    ) -> list[ModelResult]:
        """Each model's answer or error, in the order of the request.

        Parameters
        ----------
        known : each model's answer from the cache; None where it has to be computed
        """
        models = [
            model
            for model, answer in zip(model_request.models, known, strict=True)
            if answer is None
        ]
        work = [self._answer_model(model, model_request) for model in models]
        computed = iter(await asyncio.gather(*work, return_exceptions=True))
        return [answer or _result_or_raise(next(computed)) for answer in known]

    async def _answer_model(self, model: Model, model_request: ModelRequest) -> ModelAnswer:
        if model_request.levels:
            self._with_levels.add(model.identity)
        while True:
            try:
                answer = await self._compute_once(model, model_request.timer)
                # A shared computation may have been too far to add the levels.
                if not model_request.levels or answer.has_levels:
                    return answer
            except Busy:
                if not model_request.waits_for_admission:
                    raise
                await self._components.admission.wait_for_room(self._windows_at_a_time)

    async def _compute_once(self, model: Model, timer: StageTimer) -> ModelAnswer:
        """The answer of the running computation, else of a new one."""
        is_shared = self.is_computing(model)
        answer = self._answers.call(model.identity, self._compute, model, timer)
        if not is_shared:
            return await answer
        with timer.stage("shared"):
            return replace(await answer, cached=True)

    async def _compute(self, model: Model, timer: StageTimer) -> ModelAnswer:
        with self.acquire():
            self._admit()
            computed = await self._compute_from_encoder_answer(model, timer)
            if computed is None:
                computed = await self._compute_from_audio(model, timer)
            key = self._key_of(model)
            with timer.stage("remember"):
                await self._components.cache.put(key, computed)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("computed %s: %s", key, timer.header())
        return ModelAnswer(model, computed, cached=False)

    def _admit(self) -> None:
        """Hold admission slots for everything that this job computes, until the job closes.

        Raises
        ------
        Busy
        """
        if not self._is_admitted:
            slots = self._components.admission.admit(self._windows_at_a_time)
            self._on_close.enter_context(slots)
            self._is_admitted = True

    @property
    def _windows_at_a_time(self) -> int:
        return WINDOWS_AT_A_TIME if self._choice.mode == "all" else 1

    def _key_of(self, model: Model) -> str:
        return cache_key(self._sha256, self._window, model.identity)

    async def _compute_from_encoder_answer(
        self, model: Model, timer: StageTimer
    ) -> CachedAnswer | None:
        """A head's answer from the cached answer of its encoder, without decoding.

        None where the cache has no answer of the encoder, one without the outputs that the head
        takes, or the mean of several windows: a head is run on each window.
        """
        if model.encoder is None:
            return None
        known = await self._components.cache.get(self._key_of(model.encoder))
        if known is None or len(known.window.starts) > 1:
            return None
        if not known.outputs.keys() >= set(model.encoder_outputs):
            return None
        vectors = {
            name: np.array(known.outputs[name], np.float32) for name in model.encoder_outputs
        }
        row = await self._components.batcher_of(model).run(model.head_input(vectors))
        _time_inference([row], timer)
        outputs = known.outputs | {name: _mean([row], name) for name in model.output_names}
        kept = {name: outputs[name] for name in sorted(REQUIRED_OUTPUTS[model.card.kind])}
        return known.model_copy(update={"outputs": kept})

    async def _compute_from_audio(self, model: Model, timer: StageTimer) -> CachedAnswer:
        with timer.stage("decode"):
            await self._decode_once(model.card.audio, 0)
        outputs = await self.run_model(model)
        _time_inference(outputs.rows, timer)
        info = outputs.windows.info
        names = sorted(REQUIRED_OUTPUTS[model.card.kind])
        if model.identity in self._with_levels:
            names += model.level_names
        return CachedAnswer(
            outputs={name: _mean(outputs.rows, name) for name in names},
            window=describe_window(model.card.audio, outputs.windows, self._choice),
            audio=AudioHeard(
                sha256=self._sha256,
                duration=round(info.duration_s, 6),
                codec=info.codec,
                rate=info.sample_rate,
                channels=info.channels,
                notes=list(info.notes) or None,
            ),
        )

    async def run_model(self, model: Model) -> ModelOutputs:
        """Run a model on every chosen window, some windows at a time.

        Raises
        ------
        AudioError, DecoderLost, InferenceFailed, InferenceTimeout, Unavailable
        """
        outputs = await self._run_once(model, 0)
        for first in range(WINDOWS_AT_A_TIME, outputs.windows.n_chosen, WINDOWS_AT_A_TIME):
            outputs += await self._run_once(model, first)
        if not outputs.rows:
            raise silent_error(outputs.windows.silent_peak)
        return outputs

    async def _run_once(self, model: Model, first: int) -> ModelOutputs:
        """The outputs for `WINDOWS_AT_A_TIME` windows from position `first` on."""
        return await self._outputs.call((model.identity, first), self._run, model, first)

    async def _run(self, model: Model, first: int) -> ModelOutputs:
        batcher = self._components.batcher_of(model)
        if model.encoder is None:
            windows = await self._decode_once(model.card.audio, first)
            return ModelOutputs.of(
                windows, await asyncio.gather(*map(batcher.run, windows.samples))
            )
        encoded = await self._run_once(model.encoder, first)
        inputs = [model.head_input(row.outputs) for row in encoded.rows]
        heads = await asyncio.gather(*map(batcher.run, inputs))
        rows = [
            WindowResult(
                model.merge_outputs(row.outputs, head.outputs),
                row.queue_ms + head.queue_ms,
                row.infer_ms + head.infer_ms,
            )
            for row, head in zip(encoded.rows, heads, strict=True)
        ]
        return ModelOutputs(encoded.windows, rows)

    async def _decode_once(self, audio: AudioInput, first: int) -> Windows:
        """The windows from position `first` on, decoded for that input."""
        return await self._decoded.call((audio, first), self._decode, audio, first)

    async def _decode(self, audio: AudioInput, first: int) -> Windows:
        part = slice(first, first + WINDOWS_AT_A_TIME)
        path = await self._upload.path()
        return await self._components.decoders.decode(path, audio, self._window, part=part)

    async def close(self) -> None:
        """Cancel the running computations, and wait until they have ended."""
        await self._answers.close()


def _result_or_raise(result: ModelAnswer | BaseException) -> ModelResult:
    """Return an answer, or an error of one model; raise any other exception."""
    if isinstance(result, ModelAnswer | TasteprintError):
        return result
    raise result


def describe_window(audio: AudioInput, windows: Windows, choice: WindowChoice) -> WindowUsed:
    """What of the audio a model was run on, for the answer."""
    return WindowUsed(
        starts=[round(start_s, 6) for start_s in windows.starts_s],
        seconds=audio.window_s,
        how="nearest" if windows.is_moved else choice.mode,
        patches=_describe_patches(audio, windows),
    )


def _describe_patches(audio: AudioInput, windows: Windows) -> PatchesUsed | None:
    """The patches of each window; a window with less audio is the only one."""
    if audio.patches is None:
        return None
    heard_s = windows.info.duration_s - windows.starts_s[0]
    starts = patch_starts(audio, round(heard_s * audio.sample_rate))
    starts_s = [round(start / audio.sample_rate, 6) for start in starts]
    return PatchesUsed(starts=starts_s, seconds=audio.patches.seconds)


def _time_inference(rows: list[WindowResult], timer: StageTimer) -> None:
    infer_ms = max([row.infer_ms for row in rows])
    timer.add("queue", max([row.queue_ms for row in rows]), ago_ms=infer_ms)
    timer.add("infer", infer_ms)


def _mean(rows: list[WindowResult], output: str) -> Vector:
    """Mean over windows as numbers that parse to the same float32: (n, dim) -> (dim,)."""
    # The shortest decimal of each float32, half as long as that of its float64.
    return [float(str(value)) for value in mean_of([row.outputs[output] for row in rows])]


def mean_of(rows: Sequence[Samples]) -> Samples:
    """Mean of an output over windows: (n, dim) -> (dim,)."""
    mean: Samples = np.stack(rows).mean(0)
    return mean
