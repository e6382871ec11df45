"""Embedding worker: starts, feeds and kills one embedding process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from models.card import Card
from models.errors import AudioError, TasteprintError
from service.cli.processes.process import OUTPUTS
from service.decoding.messages import DecodeRequest
from service.decoding.worker import DecoderWorker
from service.errors import InferenceFailed
from service.settings import Settings


class EmbeddingWorker(DecoderWorker):
    """A decoder worker whose process answers each window's outputs in place of its samples."""

    module: ClassVar[str] = "service.cli.processes.process"
    stated_errors: ClassVar[tuple[type[TasteprintError], ...]] = (AudioError, InferenceFailed)
    row_size = 0

    @classmethod
    async def open(cls, settings: Settings, card: Card, precision: str) -> Self:
        """Start a process with a model, and wait until it takes requests.

        Raises
        ------
        DecoderLost
        """
        folder = settings.models_dir / card.name
        worker = await cls.start(settings, str(Path.absolute(folder)), precision)
        worker.row_size = sum(card.output_shape(name)[0] for name in OUTPUTS)
        return worker

    def _row_size(self, request: DecodeRequest) -> int:
        return self.row_size
