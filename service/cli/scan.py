"""A run over many songs: resumed, stopped by Ctrl-C, written as it goes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

from service.cli.engine import Engine
from service.cli.errors import BadArgument
from service.cli.problems import lasting_problems
from service.cli.songs import Song
from service.cli.table import OK, EmbeddingTable, Row, Source

# A run that is killed loses what is not in a part yet.
PART_ROWS, PART_S = 1_000, 20.0


@dataclass
class Summary:
    """Counts of a run.

    Attributes
    ----------
    embedded, failed : songs of this run
    known : songs that the table had already, `known_failed` of them without an embedding
    problems : number of failures of this run by type
    """

    embedded: int = 0
    failed: int = 0
    known: int = 0
    known_failed: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    problems: dict[str, int] = field(default_factory=dict)

    def count(self, status: str) -> None:
        if status == OK:
            self.embedded += 1
        else:
            self.failed += 1
            self.problems[status] = self.problems.get(status, 0) + 1


class Rows(Protocol):
    """Rows of earlier runs."""

    @property
    def path(self) -> Path | str: ...

    def find_source(self) -> Source | None: ...

    def read_known(self) -> dict[str, tuple[str, int, int, str]]: ...


def check_source(table: Rows, source: Source) -> None:
    """Refuse to add rows to a table of another source.

    Raises
    ------
    BadArgument
    """
    known = table.find_source()
    if known is None or known == source:
        return
    raise BadArgument(
        f"{table.path} has vectors of {known.describe()}, window {known.window}, "
        f"{known.features} features, and this run makes those of {source.describe()}, window "
        f"{source.window}, {source.features} features",
        value=source.space or source.digest,
        limit=known.space or known.digest,
        remedy="give another --out, or the options of that run: vectors of two models have nothing "
        "in common",
    )


def choose_missing(
    songs: Iterable[Song], table: Rows, *, retry_failed: bool, summary: Summary
) -> list[Song]:
    """Songs without a final row in the table: new, changed, or failed for a passing reason."""
    known, lasting = table.read_known(), lasting_problems()
    missing = []
    for song in songs:
        path, size, mtime_ns, status = known.get(song.track_id, ("", 0, 0, ""))
        is_same = (path, size, mtime_ns) == (song.address, song.size, song.mtime_ns)
        is_final = status == OK or (status in lasting and not retry_failed)
        if is_same and is_final:
            summary.known += 1
            summary.known_failed += status != OK
        else:
            missing.append(song)
    return missing


async def scan(
    songs: Sequence[Song],
    engine: Engine,
    table: EmbeddingTable,
    summary: Summary,
    show: Callable[[Row], None],
) -> None:
    """Embed the songs into the table's parts, and merge them unless the run is interrupted.

    Parameters
    ----------
    show : called with each row
    """
    began_s = last_s = time.monotonic()
    rows: list[Row] = []
    interrupted = _catch_interrupts()
    try:
        async for row in _embed_all(songs, engine, interrupted):
            summary.count(row.status)
            show(row)
            rows.append(row)
            if len(rows) >= PART_ROWS or time.monotonic() - last_s > PART_S:
                await asyncio.to_thread(table.write_part, rows, engine.source)
                rows, last_s = [], time.monotonic()
    finally:
        if rows:
            table.write_part(rows, engine.source)
        summary.seconds = time.monotonic() - began_s
    summary.interrupted = interrupted.is_set()
    if not summary.interrupted:
        await asyncio.to_thread(table.merge)


async def _embed_all(
    songs: Iterable[Song], engine: Engine, interrupted: asyncio.Event
) -> AsyncIterator[Row]:
    """The rows of the songs as they are done; after an interrupt, of those that had begun."""
    coming = iter(songs)
    running = {
        asyncio.create_task(engine.embed(song)) for song in islice(coming, engine.concurrency)
    }
    try:
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if not interrupted.is_set():
                more = islice(coming, len(done))
                running |= {asyncio.create_task(engine.embed(song)) for song in more}
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()


def _catch_interrupts() -> asyncio.Event:
    """Set by the first Ctrl-C; a second one ends the process at once."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    def interrupt() -> None:
        event.set()
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    loop.add_signal_handler(signal.SIGINT, interrupt)
    return event
