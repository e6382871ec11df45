"""Runs that are stopped: what was done is kept, and the file is that of a run that was not."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from service.cli import scan as stage
from service.cli.errors import BadArgument
from service.cli.scan import Summary, choose_missing, scan
from service.cli.songs import Song, list_songs
from service.cli.table import OK, EmbeddingTable, Row, Source, source_of

SOURCE = Source("m", "1.0.0", "d" * 64, "float32", "5" * 64, "middle", embedding=2, features=0)


class Numbered:
    """An engine whose vectors are numbers of the songs; interrupts the run at one of them."""

    source, concurrency = SOURCE, 2

    def __init__(self, interrupt_at: str = "", fails: frozenset[str] = frozenset()) -> None:
        self.interrupt_at, self.fails = interrupt_at, fails
        self.asked: list[str] = []

    async def embed(self, song: Song) -> Row:
        await asyncio.sleep(0)
        self.asked.append(song.track_id)
        if song.track_id == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.01)  # the loop hears of the signal
        if song.track_id in self.fails:
            return Row(song, "urn:tasteprint:busy", "busy")
        number = float(song.track_id)
        return Row(song, OK, sha256=song.track_id, embedding=[number, -number])

    async def close(self) -> None: ...


@pytest.fixture
def songs(tmp_path: Path) -> list[Song]:
    for index in range(20):
        (tmp_path / f"{index:02}.mp3").write_bytes(bytes(index))
    return list_songs([str(tmp_path)], ())


def run(songs: list[Song], engine: Numbered, out: Path) -> Summary:
    """A run as `tasteprint embed` does it, without the command."""
    table, summary = EmbeddingTable(out), Summary()
    missing = choose_missing(songs, table, retry_failed=False, summary=summary)
    asyncio.run(scan(missing, engine, table, summary, lambda row: None))
    return summary


def test_an_interrupted_run_goes_on_and_gives_the_same_file(
    songs: list[Song], tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole.parquet", tmp_path / "stopped.parquet"
    run(songs, Numbered(), whole)
    first = run(songs, Numbered(interrupt_at="07"), stopped)
    assert first.interrupted
    assert 8 <= first.embedded < 20  # those that had begun are finished
    assert not stopped.exists()
    engine = Numbered()
    second = run(songs, engine, stopped)
    assert second.known == first.embedded
    assert len(engine.asked) == 20 - first.embedded
    assert stopped.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.parts"))


def test_a_killed_run_keeps_its_parts(
    songs: list[Song], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole.parquet", tmp_path / "killed.parquet"
    run(songs, Numbered(), whole)
    monkeypatch.setattr(stage, "PART_ROWS", 4)

    class Dies(Numbered):
        async def embed(self, song: Song) -> Row:
            if song.track_id == "12":
                raise MemoryError
            return await super().embed(song)

    with pytest.raises(MemoryError):
        run(songs, Dies(), killed)
    parts = sorted(tmp_path.glob("killed.parquet.parts/*.parquet"))
    assert len(parts) >= 3
    parts[-1].unlink()  # what a kill would have lost
    engine = Numbered()
    assert run(songs, engine, killed).known == 4 * (len(parts) - 1)
    assert killed.read_bytes() == whole.read_bytes()


def test_a_passing_failure_is_tried_again(songs: list[Song], tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert run(songs, Numbered(fails=frozenset({"03"})), out).failed == 1
    engine = Numbered()
    assert run(songs, engine, out).embedded == 1
    assert engine.asked == ["03"]


def test_a_table_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(BadArgument, match="no table of embeddings"):
        source_of(path)
