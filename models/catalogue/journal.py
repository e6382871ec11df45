"""Journal of a catalogue: songs that were put and deleted since its file was written.

A catalogue's file is never changed: changes are lines of `<catalogue>.journal` beside it (a
write-ahead log), each on the disk before it is answered. A reader takes the file and then the
journal. A long journal is merged into a new file. Several processes may write: a lock file lets
one at a time, and whoever holds the lock reads the others' changes first.

A line is a checksum and a JSON object; the first one states the vectors' source. A line that a
crash cut short is no change, and the next one takes its place. Vectors are kept as they were
predicted, so that the journal still holds where the file is replaced by another one of its space.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.atomic_write import sync
from models.catalogue import file
from models.catalogue.songs import Catalogue, Track
from models.catalogue.source import BadCatalogue, CatalogueSource

# Beyond it, the journal (some 3 MB) is merged into the catalogue's file.
MAX_CHANGES = 4096
Version = tuple[int, int, int]
# A song that was put, or the id of one that was deleted.
Change = Track | str


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A catalogue with the changes of its journal.

    Attributes
    ----------
    version : of the file
    journal : number of the journal's inode; 0 without a journal
    end : byte after the last change of the journal
    changes : number of changes in the journal
    """

    catalogue: Catalogue
    version: Version | None
    journal: int = 0
    end: int = 0
    changes: int = 0


def journal_of(path: Path) -> Path:
    """The journal of a catalogue's file."""
    return path.with_name(f"{path.name}.journal")


def version_of(path: Path) -> Version | None:
    """What changes when a file is replaced or longer; None while there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def versions_of(path: Path) -> tuple[Version | None, Version | None]:
    """Of a catalogue's file and of its journal: what tells whether there is anything to read."""
    return version_of(path), version_of(journal_of(path))


def load_current(path: Path) -> Snapshot:
    """Read a catalogue and its journal.

    Raises
    ------
    BadCatalogue
        If the file is no catalogue, or the journal is damaged or of another space.
    """
    while True:
        version = version_of(path)
        read = _apply_new(Snapshot(file.load(path), version), path)
        # A merge empties the journal after it has written the file: neither alone has everything.
        if version == version_of(path):
            return read


def catch_up(known: Snapshot, path: Path) -> Snapshot:
    """What is known, and the changes since; read anew where file or journal were replaced.

    Raises
    ------
    BadCatalogue
    """
    journal = version_of(journal_of(path))
    inode, size = (journal[0], journal[2]) if journal else (0, 0)
    grows_on = known.journal in (0, inode) and size >= known.end
    if version_of(path) != known.version or not grows_on:
        return load_current(path)
    return _apply_new(known, path)


def put(
    known: Snapshot, path: Path, track: Track, source: CatalogueSource
) -> tuple[Snapshot, bool]:
    """Put a song, on the disk; also tells whether it took the place of another one of its id.

    Parameters
    ----------
    source : of the track's vector

    Raises
    ------
    BadCatalogue
        If the vector does not fit to the catalogue.
    OSError
        If it cannot be written; then there is no change.
    """
    with _locked(path):
        known = catch_up(known, path)
        known.catalogue.source.require(source, "the song")
        is_there = known.catalogue.find(track.track_id) is not None
        return _write(known, path, track), is_there


def delete(known: Snapshot, path: Path, track_id: str) -> tuple[Snapshot, bool]:
    """Delete a song, on the disk; also tells whether it was there.

    Raises
    ------
    BadCatalogue, OSError
    """
    with _locked(path):
        known = catch_up(known, path)
        is_there = known.catalogue.find(track_id) is not None
        return (_write(known, path, track_id) if is_there else known), is_there


def _write(known: Snapshot, path: Path, change: Change) -> Snapshot:
    """Write a change to the journal, with the lock held."""
    catalogue, line = _apply(known.catalogue, change), _line(_as_json(change))
    if not known.end:
        line = _line({"journal": 1, "source": asdict(known.catalogue.source)}) + line
    inode = _append(journal_of(path), line, known.end)
    end, changes = known.end + len(line), known.changes + 1
    return replace(known, catalogue=catalogue, journal=inode, end=end, changes=changes)


def merge(path: Path) -> Snapshot:
    """Write file and journal as one file.

    A crash in between leaves the new file and the journal: its changes are then made twice, which
    is the same.

    Raises
    ------
    BadCatalogue, OSError
    """
    with _locked(path):
        file.save(load_current(path).catalogue, path)
        journal_of(path).unlink(missing_ok=True)
        sync(path.parent)
        return load_current(path)


def _apply_new(known: Snapshot, path: Path) -> Snapshot:
    """Apply the changes after those that are known."""
    try:
        with journal_of(path).open("rb") as journal:
            inode = os.fstat(journal.fileno()).st_ino
            journal.seek(known.end)
            lines = journal.read().split(b"\n")
    except FileNotFoundError:
        return known
    lines.pop()  # what follows the last line break: nothing, or a line that was cut short
    catalogue, end, changes = known.catalogue, known.end, known.changes
    for index, line in enumerate(lines):
        try:
            read = _parse(line)
        except ValueError as error:
            if index == len(lines) - 1:
                break
            raise BadCatalogue(
                f"{journal_of(path)} is damaged at byte {end}",
                value=end,
                remedy="restore it from a copy; or remove it: the songs that were put are then "
                "missing, and can be put again",
            ) from error
        if isinstance(read, CatalogueSource):
            catalogue.source.require(read, f"the journal {journal_of(path)}")
        else:
            catalogue = _apply(catalogue, read)
            changes += 1
        end += len(line) + 1
    return Snapshot(catalogue, known.version, inode, end, changes)


def _apply(catalogue: Catalogue, change: Change) -> Catalogue:
    return catalogue.put(change) if isinstance(change, Track) else catalogue.delete(change)


def _as_json(change: Change) -> dict[str, Any]:
    if isinstance(change, str):
        return {"delete": change}
    # A float32 as the shortest decimal of its float64 is read as the same float32.
    return {"put": vars(change) | {"vector": change.vector.tolist()}}


def _parse(line: bytes) -> Change | CatalogueSource:
    """The change of a line, or the source that the first line states.

    Raises
    ------
    ValueError
        Where the line is not what was written.
    """
    checksum, _, content = line.partition(b" ")
    if int(checksum, 16) != zlib.crc32(content):
        raise ValueError("the checksum is of another line")
    stated = json.loads(content)
    if "source" in stated:
        return CatalogueSource(**stated["source"])
    if "delete" in stated:
        return str(stated["delete"])
    put = stated["put"]
    return Track(**put | {"vector": np.array(put["vector"], np.float32)})


def _line(stated: dict[str, Any]) -> bytes:
    content = json.dumps(stated, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _append(journal: Path, line: bytes, end: int) -> int:
    """Write a line at a byte, onto the disk; returns the number of the inode."""
    is_new = not journal.exists()
    descriptor = os.open(journal, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.ftruncate(descriptor, end)  # what a crash left of a line
        try:
            rest, at = memoryview(line), end
            while rest:
                written = os.pwrite(descriptor, rest, at)
                rest, at = rest[written:], at + written
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, end)
            raise
        if is_new:
            sync(journal.parent)
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a catalogue; the lock of a process that dies is free at once."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
