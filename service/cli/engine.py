"""Interface of what embeds songs: this machine, or a service."""

from __future__ import annotations

from typing import Protocol

from service.cli.songs import Song
from service.cli.table import Row, Source


class Engine(Protocol):
    """Embeds one song at a time; several calls may run concurrently.

    Attributes
    ----------
    source : what the vectors are made by
    concurrency : calls that keep it busy
    """

    @property
    def source(self) -> Source: ...

    @property
    def concurrency(self) -> int: ...

    async def embed(self, song: Song) -> Row:
        """The song's row; a failure is one too."""

    async def close(self) -> None: ...
