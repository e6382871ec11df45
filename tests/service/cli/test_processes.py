"""A process for each core: the rows of the service's pipeline, and a failure costs one song."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.audio.window_choice import WindowChoice
from models.bundle import Bundle
from service.cli.local import LocalEngine
from service.cli.problems import UNREADABLE, lasting_problems
from service.cli.processes.engine import ProcessEngine
from service.cli.songs import Song
from service.cli.table import OK, Row
from service.settings import Settings
from tests.bundles import graph_bytes, write_bundle
from tests.sounds import golden, write

RATE = 16_000
TIMED_OUT, LOST, FAILED = (
    f"urn:tasteprint:{name}" for name in ("decode-timeout", "decoder-lost", "inference-failed")
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "models", "levels")


def song(path: Path, seconds: float = 2.0, gain: float = 1.0) -> Song:
    write(path, np.clip(gain * golden(seconds, RATE, 1), -1, 1), RATE)
    return Song.of(path, path.stem)


def with_engine(
    bundle: Bundle,
    folder: Path,
    scenario: Callable[[ProcessEngine], Awaitable[None]],
    window: str = "middle",
    **given: object,
) -> None:
    settings = Settings.model_validate(
        {"models_dir": folder / "models", "decode_workers": 1, **given}
    )

    async def run() -> None:
        choice = WindowChoice.parse(window)
        engine = await ProcessEngine.open(bundle, settings, choice, features=True)
        try:
            await scenario(engine)
        finally:
            await engine.close()

    asyncio.run(run())
    assert not processes()


def processes() -> list[int]:
    """The embedding processes among this process's children."""
    tasks = Path("/proc/self/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in children if is_embedding(child)]


def is_embedding(pid: int) -> bool:
    try:
        return b"service.cli.processes.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("window", ["middle", "all", "-1.5"])
def test_rows_are_those_of_the_pipeline(bundle: Bundle, tmp_path: Path, window: str) -> None:
    """Also of nine windows, which are decoded in three parts, and of songs that fail."""
    (tmp_path / "text.mp3").write_text("no audio")
    songs = [
        song(tmp_path / "long.wav", 9.3),
        song(tmp_path / "short.wav", 0.7),
        song(tmp_path / "silent.wav", gain=0.0),
        Song.of(tmp_path / "text.mp3", "text"),
        Song.of(tmp_path / "gone.wav", "gone"),
    ]
    rows: list[Row] = []

    async def embed_both(engine: ProcessEngine) -> None:
        settings = Settings(models_dir=tmp_path / "models", default_model="levels")
        pipeline = await LocalEngine.open(
            bundle, settings, WindowChoice.parse(window), features=True
        )
        try:
            assert engine.source == pipeline.source
            for this in songs:
                row = await engine.embed(this)
                rows.append(row)
                assert as_lists(row) == as_lists(await pipeline.embed(this))
        finally:
            await pipeline.close()

    with_engine(bundle, tmp_path, embed_both, window)
    assert [row.status == OK for row in rows] == [True, window != "-1.5", False, False, False]
    assert rows[-1].status == UNREADABLE


def as_lists(row: Row) -> Row:
    """The row with its vectors as the table has them."""
    vectors = {
        name: None if values is None else np.asarray(values, np.float32).tolist()
        for name, values in (("embedding", row.embedding), ("features", row.features))
    }
    return replace(row, **vectors)


@pytest.mark.parametrize(
    ("by", "status"), [(signal.SIGSTOP, TIMED_OUT), (signal.SIGKILL, LOST)], ids=["stuck", "killed"]
)
def test_a_process_that_ends_costs_its_song_alone(
    bundle: Bundle, tmp_path: Path, by: signal.Signals, status: str
) -> None:
    this = song(tmp_path / "a.wav")

    async def scenario(engine: ProcessEngine) -> None:
        first = await engine.embed(this)
        assert first.status == OK
        (pid,) = processes()
        os.kill(pid, signal.SIGSTOP)
        embedding = asyncio.create_task(engine.embed(this))
        if by == signal.SIGKILL:
            while not engine.pool.running:  # the request is with the process
                await asyncio.sleep(0)
            os.kill(pid, by)
        assert (await embedding).status == status
        assert as_lists(await engine.embed(this)) == as_lists(first)
        assert processes() != [pid]

    with_engine(bundle, tmp_path, scenario, decode_timeout_s=1.0, infer_timeout_s=1.0)


def test_an_output_that_is_not_finite_is_a_failure_of_the_model(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "models", "levels", graph_bytes(limit=0.26))
    loud, soft = song(tmp_path / "loud.wav", gain=100.0), song(tmp_path / "soft.wav", gain=0.1)

    async def scenario(engine: ProcessEngine) -> None:
        row = await engine.embed(loud)
        assert (row.status, "not finite" in row.detail) == (FAILED, True)
        assert row.status not in lasting_problems()
        assert (await engine.embed(soft)).status == OK

    with_engine(bundle, tmp_path, scenario)


def test_a_process_is_sandboxed_once_it_has_the_model(bundle: Bundle, tmp_path: Path) -> None:
    """Songs are as hostile here as uploads are."""
    this = song(tmp_path / "a.wav")

    async def scenario(engine: ProcessEngine) -> None:
        assert (await engine.embed(this)).status == OK
        (pid,) = processes()
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2" in status
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (space,) = [line.split()[3] for line in limits if line.startswith("Max address space")]
        assert space != "unlimited"

    with_engine(bundle, tmp_path, scenario)
