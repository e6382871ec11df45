"""Catalogue store: the file of TASTEPRINT_CATALOGUE, read anew when it is replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from models.bundle import Bundle
from models.catalogue import BadCatalogue, Catalogue, CatalogueSource
from service.errors import CannotStart, NoCatalogue

log = logging.getLogger("tasteprint")
Version = tuple[int, int, int]


class CatalogueStore:
    """The catalogue that is in use, and the encoder whose vectors it has.

    A file that is replaced is read in a thread, while requests are answered by the old catalogue. A
    new file that cannot be used is logged, and the old catalogue stays in use.

    Parameters
    ----------
    path : of a catalogue; None for none
    bundles : by name, that may embed queries

    Raises
    ------
    CannotStart
        If the file cannot be used.
    """

    def __init__(self, path: Path | None, bundles: Mapping[str, Bundle]) -> None:
        self._path, self._bundles = path, bundles
        self._reading: asyncio.Task[None] | None = None
        self._version: Version | None = None
        self._catalogue: Catalogue | None = None
        self.encoder = ""
        if path is not None:
            try:
                self._version = version_of(path)
                self._use(Catalogue.load(path))
            except BadCatalogue as error:
                raise CannotStart(
                    f"TASTEPRINT_CATALOGUE: {error.detail}",
                    value=error.value,
                    limit=error.limit,
                    remedy=error.remedy,
                ) from error

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue in use; reading of a replaced file begins.

        Raises
        ------
        NoCatalogue
        """
        if self._path is None or self._catalogue is None:
            raise NoCatalogue("this service has no catalogue of songs")
        version = version_of(self._path)
        if version not in (None, self._version) and self._reading is None:
            self._version = version
            self._reading = asyncio.create_task(self._read(self._path))
        return self._catalogue

    async def _read(self, path: Path) -> None:
        try:
            self._use(await asyncio.to_thread(Catalogue.load, path))
            log.info("the catalogue %s was replaced: %d tracks", path, len(self.catalogue))
        except BadCatalogue as error:
            log.error("the catalogue stays as it was: %s", error)
        finally:
            self._reading = None

    def _use(self, catalogue: Catalogue) -> None:
        self.encoder = find_encoder(catalogue.source, self._bundles)
        self._catalogue = catalogue

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


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


def source_of(bundle: Bundle) -> CatalogueSource:
    card = bundle.card
    return CatalogueSource(card.name, card.version, bundle.digest, card.space)


def version_of(path: Path) -> Version | None:
    """What changes when a file is replaced; None while there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
