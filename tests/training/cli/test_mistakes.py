"""What a user can mend is one line with the remedy, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.sounds import golden, write
from training.audio.manifest import load_manifest
from training.cli.main import app, main

Capture = pytest.CaptureFixture[str]


def call(capsys: Capture, monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> str:
    """The output of a command that ends in an error of one line."""
    monkeypatch.setattr("sys.argv", ["tasteprint-train", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "error" in printed.out
    assert "Traceback" not in printed.out + printed.err
    return " ".join(printed.out.split())


def write_logs(path: Path, rows: Sequence[tuple[str, str, object]]) -> Path:
    pd.DataFrame(rows, columns=["user_id", "item_id", "plays"]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("count", ["inf", "-inf", "1e39", "1e30", "2e9"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_counts_that_are_no_counts_are_named_with_their_row(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, count: str, kind: str
) -> None:
    frame = pd.DataFrame({"user_id": list("uvw"), "item_id": list("ijk")})
    frame["plays"] = [1.0, float(count), 2.0]
    path = tmp_path / f"logs.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    options = ("--count-column", "plays", "--out", tmp_path / "out")
    line = call(capsys, monkeypatch, "factorize", "--logs", path, *options)
    assert f"holds {float(count):g} in row 2 (1 of 3 rows)" in line
    assert "numbers up to 1e+09" in line


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("u", "i", 1)], "have 1 users and 1 items after filtering"),
        ([("u", "i", 1), ("v", "i", 1)], "have 2 users and 1 items"),
        ([("u", "i", 1), ("u", "j", 1)], "have 1 users and 2 items"),
        ([], "no row is left of 0"),
        ([("", "", 1)], "no row is left of 1"),
        ([("u", "i", "many")], "no row is left of 1"),
    ],
)
def test_logs_of_too_few_rows_are_refused_with_what_is_needed(
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[tuple[str, str, object]],
    reason: str,
) -> None:
    logs = write_logs(tmp_path / "logs.csv", rows)
    arguments = ("--logs", logs, "--count-column", "plays", "--out", tmp_path / "out")
    assert reason in call(capsys, monkeypatch, "factorize", *arguments)


def test_the_smallest_logs_are_factorised(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = write_logs(tmp_path / "logs.csv", [("u", "i", 1), ("v", "j", 1)])
    monkeypatch.setattr(
        "sys.argv",
        ["tasteprint-train", "factorize", "--logs", str(logs), "--out", str(tmp_path / "out")],
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert np.isfinite(np.load(tmp_path / "out" / "item_factors.npy")).all()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder of two songs, their manifest and their labels."""
    audio = tmp_path / "audio"
    audio.mkdir()
    for name in ("a", "b"):
        write(audio / f"{name}.wav", golden(1))
    (tmp_path / "m.csv").write_text("track_id,item_id\na,i\nb,j\n")
    (tmp_path / "header.csv").write_text("track_id,item_id\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "semicolons.csv").write_text("track_id;item_id\na;i\n")
    (tmp_path / "absent.csv").write_text("track_id,item_id\nx,i\ny,j\n")
    (tmp_path / "file").touch()
    (tmp_path / "[b]").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("manifest", "audio", "out", "reason"),
    [
        ("m.csv", "nowhere", "out", "nowhere does not exist; give --audio the folder"),
        ("m.csv", "m.csv", "out", "m.csv is a file; give --audio the folder"),
        ("header.csv", "audio", "out", "has a header and no rows"),
        ("empty.csv", "audio", "out", "is empty"),
        ("audio", "audio", "out", "is a folder without Parquet files"),
        ("no.csv", "audio", "out", "no such file"),
        ("semicolons.csv", "audio", "out", "is it separated by ';'?"),
        ("absent.csv", "audio", "out", "none of the 2 tracks has a window: x: there is no such"),
        ("m.csv", "[b]", "out", "none of the 2 tracks has a window"),
        ("m.csv", "audio", "file", "file: File exists"),
        ("m.csv", "audio", "file/out", "file/out: Not a directory"),
    ],
)
def test_prepare_refuses_in_one_line(
    library: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    manifest: str,
    audio: str,
    out: str,
    reason: str,
) -> None:
    monkeypatch.chdir(library)
    monkeypatch.setenv("COLUMNS", "400")
    arguments = ("--manifest", manifest, "--audio", audio, "--out", out)
    assert reason in call(capsys, monkeypatch, "prepare", *arguments)


def test_damaged_files_of_earlier_stages_name_the_command_that_makes_them(
    library: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library)
    Path("factors").mkdir()
    Path("factors/report.json").write_text("{")
    Path("prepared").mkdir()
    Path("prepared/manifest.csv").touch()
    for split in ("m.csv", "audio"):
        arguments = ("--prepared", "prepared", "--factors", "factors", "--out", "o")
        line = call(capsys, monkeypatch, "estimator", *arguments, "--split", split)
        assert "tasteprint-train" in line
    assert "tasteprint-train prepare" in call(
        capsys, monkeypatch, "split", "--prepared", "prepared", "--out", "s.csv"
    )
    logs = write_logs(library / "logs.csv", [("u", "i", 1), ("v", "j", 1)])
    factorize = ("factorize", "--logs", logs, "--out", "o", "--split")
    line = call(capsys, monkeypatch, *factorize, "m.csv")
    assert "m.csv is no split: it has no column artist, part" in line
    Path("split.csv").write_text("track_id,item_id,artist,part\na,i,x,dev\n")
    line = call(capsys, monkeypatch, *factorize, "split.csv")
    assert "has the part 'dev', which is not one of train, validation, test" in line


def test_an_item_id_that_two_sets_use_for_two_artists_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        Path(name).mkdir()
        rows = [f"{name}{n},{n},{name} artist {n}" for n in range(40)]
        Path(name, "manifest.csv").write_text("\n".join(["track_id,item_id,artist", *rows]) + "\n")
    split = ("split", "--prepared", "one", "--out", "s.csv")
    assert CliRunner().invoke(app, list(split)).output.count("several artists") == 0
    both = CliRunner().invoke(app, [*split, "--prepared", "two"], env={"COLUMNS": "400"})
    assert both.exit_code == 0
    assert "40 item ids have several artists, who were put into one part: '0' is of " in both.output
    assert "another --item-column" in both.output


def test_items_that_are_spelled_otherwise_in_the_logs_are_refused_before_factorizing(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The held-out items would stay in the factors, and the evaluation would look well."""
    rows = [(f"u{user}", f"{item}.0", 1) for user in range(9) for item in range(user, user + 9)]
    logs = write_logs(tmp_path / "logs.csv", rows)
    split = tmp_path / "split.csv"
    parts = ["test", "train", "validation"]
    lines = [f"t{item},{item},a{item},{parts[item % 3]}" for item in range(12)]
    split.write_text("\n".join(["track_id,item_id,artist,part", *lines]) + "\n")
    arguments = ("factorize", "--logs", logs, "--split", split, "--out", tmp_path / "out")
    line = call(capsys, monkeypatch, *arguments)
    assert "held out: 0 of 4 tracks, 0 of 4 items, 0 of 4 artists are in the logs (81 rows" in line
    assert "'0' is spelled '0.0' there" in line
    assert "--allow-missing" in line
    monkeypatch.setattr("sys.argv", ["tasteprint-train", *map(str, arguments), "--allow-missing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    stored = json.loads((tmp_path / "out" / "report.json").read_text())["report"]["accounts"]
    assert [account["met"]["items"] for account in stored] == [0, 0]


def test_brackets_in_a_name_are_no_markup(
    library: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library)
    Path("odd.csv").write_text("track_id,item_id\n[/red],i\n[/red],j\n")
    arguments = ("--manifest", "odd.csv", "--audio", "audio", "--out", "out")
    assert "the track id '[/red]' is repeated" in call(capsys, monkeypatch, "prepare", *arguments)
    assert not Path("out").exists()


def test_a_folder_of_songs_in_subfolders_is_prepared(
    library: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library)
    Path("audio/000").mkdir()
    Path("audio/a.wav").rename("audio/000/a.wav")
    arguments = ("prepare", "--manifest", "m.csv", "--audio", "audio", "--out", "out")
    monkeypatch.setattr("sys.argv", ["tasteprint-train", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "2 windows in out, 0 refused" in " ".join(capsys.readouterr().out.split())
    assert load_manifest(Path("out"))["track_id"].tolist() == ["a", "b"]
