"""The code of vectors.md, gorse.md and cli.md runs, on a table of `tasteprint embed`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from docs.figures import lead_in
from tests.running import ROOT
from tests.sounds import SAMPLE_RATE, golden, write
from tests.test_readme import code_blocks

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory: six songs of as many artists, two labels, their table, the models."""
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "songs").mkdir()
    (folder / "models").symlink_to(ROOT / "models")
    lines = ["track_id,label,artist"]
    for artist in range(6):
        label = "chords" if artist < 3 else "noise"
        sound = golden(seconds=4, channels=1, seed=artist)
        if label == "noise":
            random = np.random.default_rng(artist)
            sound = (0.1 * random.standard_normal(sound.shape)).astype(np.float32)
        write(folder / "songs" / f"{label}-{artist}.flac", sound, SAMPLE_RATE)
        lines.append(f"{label}-{artist},{label},artist {artist}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (command,) = code_blocks((DOCS / "vectors.md").read_text(), "sh")
    program, *words = command.split()
    assert program == "tasteprint"
    run(folder, "-m", "service.cli.main", *words)
    return folder


def run(folder: Path, *arguments: str) -> str:
    """Run Python on the repository's code in another working directory; what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_about_vectors_runs_from_top_to_bottom(folder: Path) -> None:
    blocks = code_blocks((DOCS / "vectors.md").read_text(), "python")
    assert len(blocks) == 6
    lines = run(folder, "-c", "\n".join(blocks)).splitlines()
    assert lines[0].startswith("chords-0  cosine 1.00  rank 1  nearer than 83 %")
    assert lines[5].startswith("[('chords-0', ")  # the new song, which is an old one
    clusters = sorted(line.partition(" ")[2] for line in lines[6:8])
    assert clusters == [str([f"{label}-{n}" for n in names]) for label, names in HALVES.items()]
    assert lines[8] == "[1. 1. 1.]"  # chords and noise: each fold is right
    song, users = lines[9].partition(" ")[::2]
    assert song == "chords-0"
    known = (DOCS.parent / "models/cf-estimator/factors/users.csv").read_text().split()[1:]
    best = json.loads(users.replace("'", '"'))
    assert len(set(best)) == 10
    assert set(best) <= set(known)


HALVES = {"chords": range(3), "noise": range(3, 6)}


def test_the_items_for_gorse_have_unit_vectors_and_ids_without_slashes(folder: Path) -> None:
    (block,) = code_blocks((DOCS / "gorse.md").read_text(), "python")
    items = json.loads(run(folder, "-c", f"{block}\nprint(json.dumps(items))").splitlines()[-1])
    assert [item["ItemId"] for item in items][:2] == ["chords-0", "chords-1"]
    lengths = [np.linalg.norm(item["Labels"]["embedding"]) for item in items]
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    assert '.replace("/", ' in block


def test_the_code_about_tables_runs(folder: Path) -> None:
    for block in code_blocks((DOCS / "cli.md").read_text(), "python"):
        printed = run(folder, "-c", f"{block}\nprint(vectors.shape)").splitlines()
        assert printed[-1] == "(6, 40)"


def test_the_tables_about_vectors_are_drawn_from_what_was_measured() -> None:
    figures = json.loads(lead_in.RESULT.read_text())
    assert lead_in.page(figures) == lead_in.PAGE.read_text(), "run python -m docs.figures.lead_in"
    rows = lead_in.lead_in_table(figures).splitlines()[2:]
    assert len(rows) == 2 * sum(map(len, lead_in.MODELS.values()))
    for windows in figures.values():
        for kinds in windows.values():
            medians = [row["median"] for row in kinds["30 s"]["lead_in"].values()]
            assert medians == sorted(medians, reverse=True)  # more silence changes more
