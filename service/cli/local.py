"""Embeds songs in process: the service's decoders and sessions, without HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self

from models.audio.window_choice import WindowChoice
from models.bundle import Bundle
from models.errors import TasteprintError
from service.cli.problems import UNREADABLE
from service.cli.songs import Song
from service.cli.table import OK, Row, Source
from service.errors import type_of
from service.inference.model import Model
from service.inference.registry import load_models, refusal
from service.observability.context import StageTimer
from service.pipeline.model_request import ModelRequest
from service.pipeline.pipeline import Pipeline, raise_if_error
from service.settings import Settings


class LocalFile:
    """A file on disk, as a pipeline takes uploads."""

    def __init__(self, path: Path, sha256: str) -> None:
        self.sha256 = sha256
        self._path = path

    async def path(self) -> Path:
        return self._path

    def close(self) -> None: ...


class LocalEngine:
    """The service's pipeline on this machine.

    Parameters
    ----------
    features : whether rows have the penultimate layer
    """

    def __init__(
        self, pipeline: Pipeline, model: Model, window: WindowChoice, *, features: bool
    ) -> None:
        self._pipeline, self._model, self._window = pipeline, model, window
        self.source = source_of(model.bundle, model.precision, window, features=features)
        # One song in each decoder, and one that waits for it.
        self.concurrency = 2 * pipeline.settings.decode_workers

    @classmethod
    async def open(
        cls, bundle: Bundle, settings: Settings, window: WindowChoice, *, features: bool
    ) -> Self:
        """Load the model of a bundle, and start the decoders.

        Raises
        ------
        TasteprintError
        """
        name = bundle.card.name
        models = load_models(settings, {name})
        model = models.loaded.get(name)
        if model is None:
            raise refusal(name, models.refused[name])
        pipeline = Pipeline(settings, models)
        await pipeline.start()
        return cls(pipeline, model, window, features=features)

    async def embed(self, song: Song) -> Row:
        try:
            sha256 = await asyncio.to_thread(digest_of, song.path)
        except OSError as error:
            return Row(song, UNREADABLE, error.strerror or str(error))
        request = ModelRequest((self._model,), self._window, StageTimer(), True)
        try:
            (result,) = await self._pipeline.answer(
                LocalFile(song.path, sha256), request, await_work
            )
            answer = raise_if_error(result).computed
        except TasteprintError as error:
            return Row(song, type_of(type(error).__name__), str(error), sha256)
        return Row(
            song,
            OK,
            "; ".join(answer.audio.notes or ()),
            sha256,
            answer.audio.duration,
            answer.audio.codec,
            answer.outputs["embedding"],
            answer.outputs["features"] if self.source.features else None,
        )

    async def close(self) -> None:
        await self._pipeline.close()


async def await_work(work: Coroutine[Any, Any, Any]) -> Any:
    """No client may disconnect, and decoding and inference have limits of their own."""
    return await work


def source_of(bundle: Bundle, precision: str, window: WindowChoice, *, features: bool) -> Source:
    """What makes the vectors of a run."""
    card = bundle.card
    return Source(
        model=card.name,
        version=card.version,
        digest=bundle.digest,
        precision=precision,
        space=card.space,
        window=window.text,
        embedding=card.output_shape("embedding")[0],
        features=card.output_shape("features")[0] if features else 0,
    )


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
