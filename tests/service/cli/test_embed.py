"""`tasteprint embed`: rows, resuming, refusals, exit codes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.bundle import read
from tests.bundles import graph_bytes, small_models, write_bundle
from tests.convolutions import add_precision
from tests.running import ROOT, Service, running
from tests.service.cli.conftest import N_SONGS, Run

NOT_AUDIO = "urn:tasteprint:not-audio"


def rows_of(path: Path) -> dict[str, dict[str, Any]]:
    return {row["track_id"]: row for row in pq.read_table(path).to_pylist()}


def test_vectors_are_those_of_the_service_to_the_last_bit(
    service: Service,
    clips: dict[str, Path],
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASTEPRINT_MODELS_DIR", str(ROOT / "models"))
    expected = service.embedding(clips["mp3"])
    out = tmp_path / "out.parquet"
    result = run(
        *("embed", clips["mp3"], "--out", out, "--model", "cf-estimator"),
        *("--precision", expected["model"]["precision"]),
    )
    assert result.exit_code == 0, result.output
    (row,) = rows_of(out).values()
    for name in ("embedding", "features"):
        assert row[name] == np.array(expected[name], np.float32).tolist()
    assert row["sha256"] == expected["audio"]["sha256"]
    assert row["duration_s"] == expected["audio"]["duration"]
    stated = json.loads(pq.read_schema(out).metadata[b"tasteprint"])
    assert stated["space"] == expected["model"]["space"]
    assert stated["digest"] == expected["model"]["digest"]


def test_a_service_gives_the_same_file(songs: Path, tmp_path: Path, run: Run) -> None:
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    assert run("embed", songs, "--out", here).exit_code == 0
    with running(tmp_path / "log", **small_models(tmp_path)) as service:
        result = run("embed", songs, "--out", there, "--url", service.url)
        assert result.exit_code == 0, result.output
    assert there.read_bytes() == here.read_bytes()


def test_track_ids_are_paths_below_the_folder(songs: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out.parquet"
    result = run("embed", songs, "--out", out, "--json", "--no-features")
    assert result.exit_code == 0
    rows = rows_of(out)
    assert list(rows) == sorted(f"album {index % 2}/{index}" for index in range(N_SONGS))
    assert all(row["status"] == "ok" for row in rows.values())
    assert "features" not in pq.read_schema(out).names
    assert json.loads(result.stdout)["embedded"] == N_SONGS


def test_paths_come_from_standard_input(songs: Path, tmp_path: Path, run: Run) -> None:
    paths = sorted(songs.rglob("*.wav"))[:2]
    out = tmp_path / "out.parquet"
    result = run("embed", "-", "--out", out, stdin="\n".join(map(str, paths)) + "\n")
    assert result.exit_code == 0, result.output
    assert list(rows_of(out)) == sorted(path.stem for path in paths)


def test_a_failure_is_a_row_and_not_tried_again_unless_asked(
    songs: Path, tmp_path: Path, run: Run
) -> None:
    folder, out = tmp_path / "songs", tmp_path / "out.parquet"
    shutil.copytree(songs, folder)
    bad = folder / "bad.mp3"
    bad.write_text("no audio")
    first = run("embed", folder, "--out", out, "--json")
    assert first.exit_code == 3
    assert json.loads(first.stdout)["problems"] == {NOT_AUDIO: 1}
    assert str(bad) in first.stderr.replace("\n", "")
    row = rows_of(out)["bad"]
    assert (row["status"], row["embedding"]) == (NOT_AUDIO, None)
    assert "send MP3" in row["detail"]
    again = run("embed", folder, "--out", out, "--json")
    assert again.exit_code == 3
    assert json.loads(again.stdout)["embedded"] == json.loads(again.stdout)["failed"] == 0
    retried = run("embed", folder, "--out", out, "--json", "--retry-failed")
    assert json.loads(retried.stdout)["failed"] == 1
    shutil.copy(folder / "album 0" / "0.wav", bad)  # mended: another size
    assert run("embed", folder, "--out", out).exit_code == 0
    assert rows_of(out)["bad"]["status"] == "ok"


def test_a_file_that_changed_is_embedded_anew(songs: Path, tmp_path: Path, run: Run) -> None:
    folder, out = tmp_path / "songs", tmp_path / "out.parquet"
    shutil.copytree(songs, folder)
    run("embed", folder, "--out", out)
    before = rows_of(out)
    changed = folder / "album 0" / "0.wav"
    shutil.copy(folder / "album 1" / "1.wav", changed)
    os.utime(changed)
    result = run("embed", folder, "--out", out, "--json")
    assert json.loads(result.stdout)["embedded"] == 1
    after = rows_of(out)
    assert after["album 0/0"]["embedding"] == after["album 1/1"]["embedding"]
    del before["album 0/0"], after["album 0/0"]
    assert after == before


def test_vectors_of_two_models_are_not_mixed(songs: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out.parquet"
    run("embed", songs, "--out", out)
    content = out.read_bytes()
    other = write_bundle(tmp_path / "models", "other")
    result = run("embed", songs, "--out", out, "--model", "other")
    assert result.exit_code == 1
    text = result.stderr.replace("\n", "")
    assert "levels 1.0.0" in text
    assert f"other 1.0.0 ({other.digest[:12]}" in text
    for options in (["--window", "start"], ["--no-features"]):
        result = run("embed", songs, "--out", out, *options)
        assert result.exit_code == 1
        assert "another --out" in result.stderr.replace("\n", "")
    assert out.read_bytes() == content


@pytest.mark.parametrize("was_killed", [False, True], ids=["finished", "killed"])
def test_a_run_takes_the_precision_that_its_file_began_with(
    songs: Path, tmp_path: Path, run: Run, *, was_killed: bool
) -> None:
    """`auto` alone chooses float32: the other graph states no agreement with it."""
    bundle = read(tmp_path / "models" / "levels")
    add_precision(bundle, "int8", graph_bytes(root="Identity"), None)
    folder, out = tmp_path / "songs", tmp_path / "out.parquet"
    shutil.copytree(songs / "album 0", folder / "album 0")
    assert run("embed", folder, "--out", out, "--precision", "int8").exit_code == 0
    if was_killed:  # before its parts were merged
        parts = tmp_path / "out.parquet.parts"
        parts.mkdir()
        out.rename(parts / "000000.parquet")
    shutil.copytree(songs / "album 1", folder / "album 1")
    refused = run("embed", folder, "--out", out, "--precision", "float32")
    assert refused.exit_code == 1
    text = refused.stderr.replace("\n", "")
    assert "levels 1.0.0" in text
    assert ", int8" in text
    assert ", float32" in text
    result = run("embed", folder, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["embedded"] == N_SONGS / 2
    assert json.loads(pq.read_schema(out).metadata[b"tasteprint"])["precision"] == "int8"
    whole = tmp_path / "whole.parquet"
    assert run("embed", songs, "--out", whole, "--precision", "int8").exit_code == 0
    vectors = [
        {key: row["embedding"] for key, row in rows_of(path).items()} for path in (out, whole)
    ]
    assert vectors[0] == vectors[1]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["embed", "--out", "x.parquet"], 2, "files"),
        (["embed", "gone", "--out", "x.parquet"], 1, "gone does not exist"),
        (["embed", ".", "--out", "x.parquet"], 1, "no audio file"),
        (["embed", "a.wav", "--out", "x.parquet", "--window", "sideways"], 2, "sideways"),
        (["embed", "a.wav", "--out", "x.parquet", "--model", "nonesuch"], 1, "nonesuch"),
        (["embed", "a.wav", "--out", "a.wav"], 1, "no table of embeddings"),
        (["embed", "a.wav", "--out", "x.parquet", "--url", "127.0.0.1"], 1, "http://"),
        (["embed", "a.wav", "b/a.wav", "--out", "x.parquet"], 1, "track id 'a'"),
    ],
)
def test_a_mistake_is_one_line(
    songs: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    folder = tmp_path / "here"
    (folder / "b").mkdir(parents=True)
    if "." not in arguments:
        shutil.copy(songs / "album 0" / "0.wav", folder / "a.wav")
        shutil.copy(songs / "album 0" / "0.wav", folder / "b" / "a.wav")
    monkeypatch.chdir(folder)
    result = run(*arguments)
    assert result.exit_code == status
    assert said in result.stderr.replace("\n", "")
    assert "Traceback" not in result.output
    assert not (folder / "x.parquet").exists()
