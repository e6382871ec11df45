"""Embeds songs on CPU cores: a process for each core decodes a song and runs the model on it.

The service's pipeline decodes in processes and runs the model in threads of its own, so that
requests share a model and a crash costs no session. Over many files that takes a seventh longer:
samples cross between processes, and decoders and sessions take the cores from each other.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from models.audio.signal.levels import silent_error
from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import Windows
from models.bundle import Bundle
from models.card import Card
from models.errors import TasteprintError
from service.cli.bundles import find_bundle
from service.cli.engine import Engine
from service.cli.errors import BadArgument
from service.cli.local import LocalEngine, digest_of, source_of
from service.cli.problems import UNREADABLE
from service.cli.processes.process import OUTPUTS
from service.cli.processes.worker import EmbeddingWorker
from service.cli.songs import Song
from service.cli.table import OK, Row, Source
from service.decoding.pool import DecodePool
from service.errors import type_of
from service.inference.devices import list_gpus
from service.inference.loader import ModelLoader
from service.inference.thread_split import ThreadSplit
from service.pipeline.audio_job import WINDOWS_AT_A_TIME, mean_of
from service.settings import Settings


async def open_engine(settings: Settings, window: str, *, features: bool) -> Engine:
    """What embeds on this machine: processes on CPU cores, or the service's pipeline on GPUs.

    Raises
    ------
    TasteprintError
    """
    choice, name = WindowChoice.parse(window), settings.default_model
    bundle = find_bundle(name, settings.models_dir)
    if (kind := bundle.card.kind) != "encoder":
        raise BadArgument(f"{name} is a {kind}, and no encoder", value=name, limit="encoder")
    if settings.require_gpu or list_gpus():
        return await LocalEngine.open(bundle, settings, choice, features=features)
    return await ProcessEngine.open(bundle, settings, choice, features=features)


class ProcessEngine:
    """Embedding processes on this machine.

    Parameters
    ----------
    pool : of embedding processes of the model of `card`, started
    source : what they make, with or without features
    """

    def __init__(self, pool: DecodePool, card: Card, source: Source, n_processes: int) -> None:
        self.pool, self._card, self.source = pool, card, source
        # One song in each process, and one that waits for it, hashed.
        self.concurrency = 2 * n_processes

    @classmethod
    async def open(
        cls, bundle: Bundle, settings: Settings, window: WindowChoice, *, features: bool
    ) -> Self:
        """Verify the model, choose its precision, and start the processes.

        Raises
        ------
        TasteprintError
        """
        model = ModelLoader(settings, ThreadSplit(1, 1)).load(bundle, None)
        # A request is decoded and run through the model.
        timeout_s = settings.decode_timeout_s + settings.infer_timeout_s
        settings = settings.model_copy(update={"decode_timeout_s": timeout_s})
        start = partial(EmbeddingWorker.open, card=bundle.card, precision=model.precision)
        pool = DecodePool(settings, start_worker=start)
        await pool.start()
        source = source_of(bundle, model.precision, window, features=features)
        return cls(pool, bundle.card, source, settings.decode_workers)

    async def embed(self, song: Song) -> Row:
        try:
            sha256 = await asyncio.to_thread(digest_of, song.path)
        except OSError as error:
            return Row(song, UNREADABLE, error.strerror or str(error))
        try:
            parts = await self._embed_parts(song.path)
        except TasteprintError as error:
            return Row(song, type_of(type(error).__name__), str(error), sha256)
        info = parts[0].info
        embedding, features = self._means_of(parts)
        return Row(
            song,
            OK,
            "; ".join(dict.fromkeys(note for part in parts for note in part.info.notes)),
            sha256,
            round(info.duration_s, 6),
            info.codec,
            embedding,
            features if self.source.features else None,
        )

    async def _embed_parts(self, path: Path) -> list[Windows]:
        """Every chosen window, with its outputs in place of its samples.

        Raises
        ------
        AudioError, DecoderLost, InferenceFailed
        """
        parts = [await self._embed_part(path, 0)]
        for first in range(WINDOWS_AT_A_TIME, parts[0].n_chosen, WINDOWS_AT_A_TIME):
            parts.append(await self._embed_part(path, first))
        if not any(part.starts_s for part in parts):
            raise silent_error(max(part.silent_peak for part in parts))
        return parts

    async def _embed_part(self, path: Path, first: int) -> Windows:
        part = slice(first, first + WINDOWS_AT_A_TIME)
        return await self.pool.decode(path, self._card.audio, self.source.window, part)

    def _means_of(self, parts: list[Windows]) -> list[Samples]:
        """The mean of each output over the windows, as the service takes it."""
        rows = [row for part in parts for row in part.samples]
        sizes = [self._card.output_shape(name)[0] for name in OUTPUTS]
        return np.split(mean_of(rows), np.cumsum(sizes)[:-1])

    async def close(self) -> None:
        await self.pool.close()
