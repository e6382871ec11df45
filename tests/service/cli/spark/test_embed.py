"""`tasteprint embed --engine spark`: the file of the command line, from paths and from URIs."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from models.spark import SparkOptions, open_session
from service.cli.spark import run as stage
from service.cli.spark.sinks import TableSink
from service.cli.spark.task import CONTENT
from tests.bundles import write_bundle
from tests.service.cli.conftest import N_SONGS, Run

is_installed = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
pytestmark = pytest.mark.skipif(not is_installed, reason="needs pyspark and Java")
SPARK = ("--engine", "spark", "--spark-master", "local[2]", "--precision", "float32")
HERE = ("--precision", "float32")
ODD_NAME = "one [live] {a} é.wav"


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    """One session for all tests, as a JVM takes seconds to start."""
    with open_session("tests", SparkOptions("local[2]")):
        yield


@pytest.fixture
def folder(songs: Path, tmp_path: Path) -> Path:
    """Songs, one of them of a name with characters of patterns, and a file that is no audio."""
    folder = tmp_path / "songs"
    shutil.copytree(songs, folder)
    (folder / "album 0" / "0.wav").rename(folder / ODD_NAME)
    (folder / "bad.mp3").write_text("no audio")
    (folder / ".hidden").mkdir()
    shutil.copy(folder / ODD_NAME, folder / ".hidden" / "song.wav")
    return folder


def rows_of(path: Path) -> dict[str, dict[str, Any]]:
    return {row["track_id"]: row for row in pq.read_table(path).to_pylist()}


def test_the_file_is_that_of_the_command_line_to_the_last_byte(
    folder: Path, tmp_path: Path, run: Run
) -> None:
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    assert run("embed", folder, "--out", here, *HERE).exit_code == 3
    result = run("embed", folder, "--out", there, *SPARK, "--json")
    assert result.exit_code == 3, result.output
    summary = json.loads(result.stdout)
    assert (summary["embedded"], summary["failed"]) == (N_SONGS, 1)
    assert "bad.mp3: no decoder recognises the file" in result.stderr.replace("\n", "")
    assert there.read_bytes() == here.read_bytes()


@pytest.fixture
def mounted(folder: Path) -> Iterator[str]:
    """The folder at an address that Hadoop alone can open, as of a cluster's file system."""
    name = "fs.viewfs.mounttable.cluster.link./songs"
    with open_session("tests", SparkOptions("local[2]")) as session:
        session.conf.set(name, folder.as_uri())
        yield "viewfs://cluster/songs"
        session.conf.unset(name)


@pytest.mark.parametrize("is_on_disk", [True, False])
def test_uris_that_hadoop_reads_give_the_same_vectors(
    folder: Path, mounted: str, tmp_path: Path, run: Run, *, is_on_disk: bool
) -> None:
    here, there = tmp_path / "here.parquet", tmp_path / "there"
    run("embed", folder, "--out", here, *HERE)
    address, start = (folder.as_uri(), f"file:{folder}") if is_on_disk else (mounted, mounted)
    result = run("embed", address, "--out", there.as_uri(), *SPARK)
    assert result.exit_code == 3, result.output
    expected, found = rows_of(here), rows_of(there)
    assert sorted(found) == sorted(expected)
    for name, row in found.items():
        path, mtime_ns = row.pop("path"), row.pop("mtime_ns")
        assert path == start + expected[name].pop("path").removeprefix(str(folder))
        assert mtime_ns // 1_000_000 == expected[name].pop("mtime_ns") // 1_000_000
        assert row == expected[name]


def test_a_folder_of_spark_is_gone_on_with_and_another_model_refused(
    folder: Path, tmp_path: Path, run: Run
) -> None:
    out = (tmp_path / "out").as_uri()
    run("embed", folder.as_uri(), "--out", out, *SPARK)
    shutil.copy(folder / ODD_NAME, folder / "new.wav")
    result = run("embed", folder.as_uri(), "--out", out, *SPARK, "--json")
    summary = json.loads(result.stdout)
    assert (summary["embedded"], summary["failed"], summary["known"]) == (1, 0, N_SONGS + 1)
    assert len(rows_of(tmp_path / "out")) == pq.read_table(tmp_path / "out").num_rows
    write_bundle(tmp_path / "models", "other")
    result = run("embed", folder.as_uri(), "--out", out, *SPARK, "--model", "other")
    assert result.exit_code == 1
    assert "vectors of two models" in result.stderr.replace("\n", "")


def test_a_folder_of_spark_is_indexed_as_the_file_is(
    folder: Path, tmp_path: Path, run: Run
) -> None:
    out, file = (tmp_path / "out").as_uri(), tmp_path / "here.parquet"
    run("embed", folder.as_uri(), "--out", out, *SPARK)
    (folder / "bad.mp3").unlink()
    shutil.copy(folder / ODD_NAME, folder / "bad.wav")  # has the track id of a row that failed
    shutil.copy(folder / "album 1" / "1.wav", folder / "album 0" / "2.wav")  # changed
    run("embed", folder.as_uri(), "--out", out, *SPARK)
    run("embed", folder, "--out", file, *HERE)
    catalogues = []
    for number, table in enumerate((file, tmp_path / "out", out)):
        made = run("index", table, "--out", tmp_path / f"{number}.parquet")
        assert f"{N_SONGS + 1} tracks; 0 failed rows left out" in made.stderr, made.output
        catalogues.append((tmp_path / f"{number}.parquet").read_bytes())
    assert catalogues[0] == catalogues[1] == catalogues[2]
    write_bundle(tmp_path / "models", "other")
    run("embed", folder.as_uri(), "--out", (tmp_path / "b").as_uri(), *SPARK, "--model", "other")
    shutil.copy(next((tmp_path / "b").glob("*.parquet")), tmp_path / "out" / "z.parquet")
    result = run("index", tmp_path / "out", "--out", tmp_path / "c.parquet")
    assert result.exit_code == 1
    assert "vectors of two have nothing in common" in " ".join(result.stderr.split())


def test_jobs_that_were_done_are_kept_by_a_run_that_is_stopped(
    folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    run("embed", folder, "--out", here, *HERE)
    monkeypatch.setattr(stage, "SONGS_OF_TASK", 1)
    monkeypatch.setattr(stage, "TASKS_OF_CORE", 2)
    write, calls = TableSink.write, []

    def write_once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(TableSink, "write", write_once)
    result = run("embed", folder, "--out", there, *SPARK, "--json")
    assert result.exit_code == 130
    n_done = json.loads(result.stdout)["embedded"]
    assert 0 < n_done < N_SONGS
    result = run("embed", folder, "--out", there, *SPARK, "--json")
    assert json.loads(result.stdout)["known"] >= n_done
    assert there.read_bytes() == here.read_bytes()


def test_a_clusters_files_are_read_by_hadoop_and_those_on_disk_by_the_tasks(
    folder: Path, mounted: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []
    rows_of_job = stage._rows_of

    def note(*arguments: Any) -> Any:
        rows = rows_of_job(*arguments)
        made.append(rows._jdf.queryExecution().optimizedPlan().toString())
        return rows

    monkeypatch.setattr(stage, "_rows_of", note)
    for number, address in enumerate((mounted, folder.as_uri(), folder)):
        run("embed", address, "--out", tmp_path / f"{number}.parquet", *SPARK)
    assert [CONTENT in plan for plan in made] == [True, False, False]


@pytest.mark.parametrize(
    ("n_songs", "n_cores", "n_tasks"),
    [(1, 2, 1), (5, 2, 2), (128, 2, 2), (129, 2, 4), (64, 100, 64)],
)
def test_every_core_has_as_many_tasks(n_songs: int, n_cores: int, n_tasks: int) -> None:
    assert stage.count_tasks(n_songs, n_cores) == n_tasks


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["a.wav", "file:///songs"], 1, "give paths or URIs"),
        (["file:///nonesuch"], 1, "cannot be listed"),
        (["a.wav", "--url", "http://127.0.0.1:1"], 2, "not for --engine spark"),
        (["a.wav", "--spark-conf", "memory"], 2, "no name=value"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, run: Run, arguments: list[str], status: int, said: str
) -> None:
    result = run("embed", *arguments, "--out", tmp_path / "out.parquet", *SPARK)
    assert result.exit_code == status
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output
