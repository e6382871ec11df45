"""`tasteprint index` and `tasteprint similar`: from a folder of songs to the nearest ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.catalogue import load
from tests.bundles import write_bundle
from tests.service.cli.conftest import N_SONGS, Run


@pytest.fixture
def catalogue(songs: Path, tmp_path: Path, run: Run) -> Path:
    """Of the songs; half of them have an artist."""
    metadata = tmp_path / "tracks.csv"
    rows = [f"album {index % 2}/{index},Song {index},Artist {index % 2}" for index in range(3)]
    metadata.write_text("\n".join(["track_id,title,artist", *rows, "gone,Gone,Nobody"]) + "\n")
    assert run("embed", songs, "--out", tmp_path / "e.parquet").exit_code == 0
    made = run(
        "index", tmp_path / "e.parquet", "--metadata", metadata, "--out", tmp_path / "c.parquet"
    )
    assert made.exit_code == 0, made.output
    assert f"{N_SONGS} tracks; 0 failed" in made.stderr
    assert "4 rows, of 3 tracks" in made.stderr
    return tmp_path / "c.parquet"


def hits_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_track_has_all_others_as_neighbours(catalogue: Path, run: Run) -> None:
    result = run("similar", "album 0/0", "--catalogue", catalogue, "--json")
    hits = hits_of(result.stdout)
    assert len(hits) == N_SONGS - 1
    assert "album 0/0" not in {hit["track_id"] for hit in hits}
    cosines = [hit["cosine"] for hit in hits]
    assert cosines == sorted(cosines, reverse=True)
    named = {hit["track_id"]: (hit["title"], hit["artist"]) for hit in hits}
    assert named["album 1/1"] == ("Song 1", "Artist 1")
    assert named["album 1/5"] == (None, None)


def test_a_file_has_the_neighbours_of_its_track(catalogue: Path, songs: Path, run: Run) -> None:
    by_id = run("similar", "album 0/0", "--catalogue", catalogue, "--json").stdout
    by_file = run("similar", songs / "album 0" / "0.wav", "--catalogue", catalogue, "--json").stdout
    ids = [[hit["track_id"] for hit in hits_of(text)] for text in (by_id, by_file)]
    assert ids[0] == ids[1]


def test_artists_of_the_seed_are_left_out_on_request(catalogue: Path, run: Run) -> None:
    result = run(
        "similar", "album 0/0", "--catalogue", catalogue, "--json", "--exclude-same-artist"
    )
    ids = {hit["track_id"] for hit in hits_of(result.stdout)}
    assert "album 0/2" not in ids
    assert "album 1/1" in ids


def test_a_table_for_people(catalogue: Path, run: Run) -> None:
    result = run("similar", "album 0/0", "--catalogue", catalogue, "--limit", 5)
    (line,) = [line for line in result.stdout.splitlines() if "album 1/1" in line]
    assert "Artist 1 – Song 1" in line


def test_mistakes_are_one_line(catalogue: Path, songs: Path, tmp_path: Path, run: Run) -> None:
    result = run("similar", "nonesuch", "--catalogue", catalogue)
    assert result.exit_code == 1
    assert "neither a track of the catalogue nor a file" in result.stderr
    result = run("similar", "x", "--catalogue", tmp_path / "e.parquet")
    assert result.exit_code == 1
    assert "tasteprint index" in result.stderr
    metadata = tmp_path / "wrong.csv"
    metadata.write_text("id;title\n1;x\n")
    result = run(
        "index", tmp_path / "e.parquet", "--metadata", metadata, "--out", tmp_path / "d.parquet"
    )
    assert result.exit_code == 1
    assert "id;title" in result.stderr


def test_a_file_is_not_compared_with_vectors_of_another_model(
    catalogue: Path, songs: Path, tmp_path: Path, run: Run
) -> None:
    other = write_bundle(tmp_path / "models", "levels", levels=True)
    result = run("similar", songs / "album 0" / "0.wav", "--catalogue", catalogue)
    assert result.exit_code == 1
    assert other.digest[:12] in result.stderr
    assert load(catalogue).source.digest[:12] in result.stderr
