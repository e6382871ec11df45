"""Catalogue store: the file of TASTEPRINT_CATALOGUE and its journal, read anew as they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.bundle import Bundle
from models.catalogue import BadCatalogue, Catalogue, CatalogueSource, Track, file, journal
from models.catalogue.journal import Snapshot
from models.errors import TasteprintError
from service.catalogue.choice import find_catalogue
from service.errors import CannotStart, CatalogueReadOnly, CatalogueUnavailable, NoCatalogue
from service.settings import Settings

log = logging.getLogger("tasteprint")


class CatalogueStore:
    """The catalogue that is in use, and the encoder whose vectors it has.

    Files that change are read in a thread, while requests are answered by the old catalogue. Files
    that cannot be used are logged, and the old catalogue stays in use.

    Parameters
    ----------
    bundles : by name, that may embed queries

    Raises
    ------
    CannotStart
        If the catalogue of the settings cannot be used.
    """

    def __init__(self, settings: Settings, bundles: Mapping[str, Bundle]) -> None:
        self._bundles, self.is_writable = bundles, settings.catalogue_writable
        self._path = find_catalogue(settings)
        self._snapshot: Snapshot | None = None
        # Of a thread that reads or writes: one at a time.
        self._lock = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._merging: asyncio.Task[None] | None = None
        self._seen: object = None
        self.encoder = ""
        if self.is_writable and settings.catalogue is None:
            raise CannotStart(
                "TASTEPRINT_CATALOGUE_WRITABLE needs a file of your own",
                remedy="set TASTEPRINT_CATALOGUE; a file that does not exist is begun",
            )
        if self._path is not None:
            self._open(self._path, settings)

    def _open(self, path: Path, settings: Settings) -> None:
        try:
            if self.is_writable and not path.exists():
                file.save(self._new_catalogue(settings), path)
            self._seen = journal.versions_of(path)
            self._use(journal.load_current(path))
        except (BadCatalogue, OSError) as error:
            if settings.catalogue is None:  # that of a bundle: the service does without
                log.warning("the catalogue %s is not used: %s", path, error)
                self._path = None
                return
            if isinstance(error, OSError):
                error = BadCatalogue(f"{path}: {error.strerror}", value=str(path))
            raise CannotStart(
                f"TASTEPRINT_CATALOGUE: {error.detail}",
                value=error.value,
                limit=error.limit,
                remedy=error.remedy,
            ) from error

    def _new_catalogue(self, settings: Settings) -> Catalogue:
        """A catalogue without songs, with the means and users of the default model's own one."""
        bundle = self._bundles.get(settings.default_model)
        if bundle is None:
            raise BadCatalogue(f"no encoder {settings.default_model} to begin a catalogue for")
        shipped = find_catalogue(settings.model_copy(update={"catalogue": None}))
        source = source_of(bundle)
        if shipped is not None and (known := file.load(shipped)).source.accepts(source):
            return replace(known.emptied(), source=source)
        dim = bundle.card.output_shape("embedding")[0]
        none = np.zeros((1, dim), np.float32)
        return Catalogue.build(source, [""], none, {}).emptied()

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue in use; reading of changed files begins.

        Raises
        ------
        NoCatalogue
        """
        if self._path is None or self._snapshot is None:
            raise NoCatalogue("this service has no catalogue of songs")
        versions = journal.versions_of(self._path)
        if versions[0] and versions != self._seen and self._reading is None:
            self._seen = versions
            self._reading = asyncio.create_task(self._read(self._path))
        return self._snapshot.catalogue

    async def _read(self, path: Path) -> None:
        try:
            async with self._lock:
                known = self._snapshot
                assert known is not None
                self._use(await asyncio.to_thread(journal.catch_up, known, path))
            if known.version != journal.version_of(path):
                log.info("the catalogue %s was replaced: %d tracks", path, len(self.catalogue))
        except (BadCatalogue, OSError) as error:
            log.error("the catalogue stays as it was: %s", error)
        finally:
            self._reading = None

    def _use(self, snapshot: Snapshot) -> None:
        self.encoder = find_encoder(snapshot.catalogue.source, self._bundles)
        self._snapshot = snapshot

    def check_writable(self) -> None:
        """Refuse changes where the settings do not allow them.

        Raises
        ------
        NoCatalogue, CatalogueReadOnly
        """
        if self.catalogue is not None and not self.is_writable:
            raise CatalogueReadOnly("the catalogue of this service is read-only")

    async def prepare(self, bundles: Mapping[str, Bundle]) -> Callable[[], None]:
        """Read the catalogue as it is now, for bundles that are going to be in use.

        Returns
        -------
        What takes it into use, when those bundles are; nothing where it fits none of them.
        """
        path = self._path
        if path is None:
            return lambda: None
        try:
            versions = journal.versions_of(path)
            snapshot = await asyncio.to_thread(journal.load_current, path)
            find_encoder(snapshot.catalogue.source, bundles)
        except (BadCatalogue, OSError) as error:
            log.error("the catalogue stays as it was: %s", error)
            return lambda: None

        def use() -> None:
            self._seen = versions
            self._use(snapshot)

        return use

    async def put(self, track: Track, source: CatalogueSource) -> bool:
        """Put a song, on the disk; whether it took the place of another one of its id.

        Raises
        ------
        CatalogueUnavailable
        """
        return await self._change(lambda known, path: journal.put(known, path, track, source))

    async def delete(self, track_id: str) -> bool:
        """Delete a song, on the disk; whether it was there.

        Raises
        ------
        CatalogueUnavailable
        """
        return await self._change(lambda known, path: journal.delete(known, path, track_id))

    async def _change(self, write: Callable[[Snapshot, Path], tuple[Snapshot, bool]]) -> bool:
        # Shielded: a client that leaves would part the memory from the disk.
        return await asyncio.shield(asyncio.create_task(self._write(write)))

    async def _write(self, write: Callable[[Snapshot, Path], tuple[Snapshot, bool]]) -> bool:
        async with self._lock:
            known, path = self._snapshot, self._path
            assert known is not None
            assert path is not None
            try:
                snapshot, was_there = await asyncio.to_thread(write, known, path)
                self._use(snapshot)
            except (OSError, BadCatalogue) as error:
                reason = error.strerror if isinstance(error, OSError) else error.detail
                raise CatalogueUnavailable(
                    f"the catalogue cannot be written: {reason}", value=str(path)
                ) from error
        if snapshot.changes >= journal.MAX_CHANGES and self._merging is None:
            self._merging = asyncio.create_task(self._merge(path))
        return was_there

    async def _merge(self, path: Path) -> None:
        try:
            async with self._lock:
                self._use(await asyncio.to_thread(journal.merge, path))
            log.info("the journal of %s was merged into it", path)
        except (TasteprintError, OSError) as error:
            log.error("the journal of the catalogue is not merged: %s", error)
        finally:
            self._merging = None

    async def close(self) -> None:
        for task in filter(None, (self._reading, self._merging)):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def find_encoder(source: CatalogueSource, bundles: Mapping[str, Bundle]) -> str:
    """Name of an encoder whose vectors may be compared with a catalogue's, that of its name first.

    Raises
    ------
    BadCatalogue
        If there is none.
    """
    encoders = {name: bundle for name, bundle in bundles.items() if bundle.card.kind == "encoder"}
    fitting = [name for name, bundle in encoders.items() if source.accepts(source_of(bundle))]
    if not fitting:
        known = ", ".join(source_of(bundle).describe() for bundle in encoders.values())
        raise BadCatalogue(
            f"the catalogue has vectors of {source.describe()}, and no encoder here is of that",
            value=source.space or source.digest,
            limit=known,
            remedy="embed and index the songs with one of these encoders",
        )
    return source.model if source.model in fitting else fitting[0]


def source_of(bundle: Bundle, precision: str | None = None) -> CatalogueSource:
    card = bundle.card
    return CatalogueSource(card.name, card.version, bundle.digest, card.space, precision)
