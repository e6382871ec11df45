"""`tasteprint index` and `tasteprint similar`: from a folder of songs to the nearest ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.bundle import read
from models.catalogue import Track, journal, load
from models.catalogue.journal import load_current
from tests.bundles import SIZES, graph_bytes, in_space, write_bundle
from tests.convolutions import add_precision
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
    for place, said in (("s3a://songs/e", "not on this machine"), (songs, "no Parquet files")):
        result = run("index", place, "--out", tmp_path / "d.parquet")
        assert result.exit_code == 1
        assert said in " ".join(result.stderr.split())


def test_a_file_is_not_compared_with_vectors_of_another_model(
    catalogue: Path, songs: Path, tmp_path: Path, run: Run
) -> None:
    other = write_bundle(tmp_path / "models", "levels", levels=True)
    result = run("similar", songs / "album 0" / "0.wav", "--catalogue", catalogue)
    assert result.exit_code == 1
    assert other.digest[:12] in result.stderr
    assert load(catalogue).source.digest[:12] in result.stderr


SPACE = "0123456789ab" + "0" * 52
N_ITEMS, N_USERS = 7, 5


def write_factors(folder: Path, space: str = SPACE) -> Path:
    """What `tasteprint-train factorize` writes."""
    rng = np.random.default_rng(5)
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps({"space": space}))
    for kind, count in (("item", N_ITEMS), ("user", N_USERS)):
        factors = rng.normal(size=(count, SIZES["embedding"])).astype(np.float32)
        np.save(folder / f"{kind}_factors.npy", factors)
        lines = [f"{kind}_id", *(f"0{row}" for row in range(count))]
        (folder / f"{kind}s.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def embedded(songs: Path, tmp_path: Path, run: Run) -> Path:
    """The songs' table, by a model of a CF space."""
    in_space(read(tmp_path / "models" / "levels"), SPACE)
    path = tmp_path / "e.parquet"
    assert run("embed", songs, "--out", path, "--precision", "float32").exit_code == 0
    return path


def test_a_catalogue_keeps_what_made_its_vectors(embedded: Path, tmp_path: Path, run: Run) -> None:
    assert run("index", embedded, "--out", tmp_path / "c.parquet").exit_code == 0
    source = load(tmp_path / "c.parquet").source
    assert (source.precision, source.space, source.model) == ("float32", SPACE, "levels")


def test_a_file_is_embedded_in_the_precision_of_the_catalogue(
    songs: Path, tmp_path: Path, run: Run
) -> None:
    add_precision(read(tmp_path / "models" / "levels"), "int8", graph_bytes(root="Identity"), 1.0)
    cosines = {}
    for precision in ("int8", "float32"):
        table, out = tmp_path / f"{precision}.e.parquet", tmp_path / f"{precision}.parquet"
        assert run("embed", songs, "--out", table, "--precision", precision).exit_code == 0
        assert run("index", table, "--out", out).exit_code == 0
        for seed in ("album 0/0", songs / "album 0" / "0.wav"):
            answer = run("similar", seed, "--catalogue", out, "--json")
            assert answer.exit_code == 0, answer.output
            cosines[precision, str(seed)] = [hit["cosine"] for hit in hits_of(answer.stdout)]
        by_id, by_file = (found for (name, _), found in cosines.items() if name == precision)
        assert by_file == pytest.approx(by_id, abs=1e-6)
    int8, float32 = cosines["int8", "album 0/0"], cosines["float32", "album 0/0"]
    assert int8 != pytest.approx(float32, abs=1e-4)


def test_the_users_of_a_factorization_are_ranked(embedded: Path, tmp_path: Path, run: Run) -> None:
    factors, out = write_factors(tmp_path / "factors"), tmp_path / "c.parquet"
    made = run("index", embedded, "--users", factors, "--out", out)
    assert made.exit_code == 0, made.output
    assert f"{N_USERS} users" in made.stderr
    result = run("listeners", "album 0/0", "--catalogue", out, "--json", "--limit", 3)
    assert result.exit_code == 0, result.output
    ranked = hits_of(result.stdout)
    table = pq.read_table(embedded)
    vector = np.array(table["embedding"][table["track_id"].index("album 0/0").as_py()].as_py())
    scores = np.load(factors / "user_factors.npy") @ vector / np.linalg.norm(vector)
    assert [user["user_id"] for user in ranked] == [f"0{row}" for row in np.argsort(-scores)[:3]]
    assert [user["score"] for user in ranked] == pytest.approx(sorted(scores)[:-4:-1], abs=1e-6)


def test_item_factors_are_a_catalogue_for_predictions(
    embedded: Path, songs: Path, tmp_path: Path, run: Run
) -> None:
    """Only those that the metadata names; queries are centred by the mean of predictions."""
    factors = write_factors(tmp_path / "factors")
    names = tmp_path / "names.csv"
    names.write_text("track_id,artist\nartist:00,A\nartist:02,B\nartist:06,C\n")
    own = tmp_path / "models" / "levels" / "catalogue.parquet"
    options = ("--metadata", names, "--prefix", "artist:", "--about", "drawn", "--out", own)
    bare = run("index", factors, *options)
    assert bare.exit_code == 1
    assert "--queries" in bare.stderr
    made = run("index", factors, "--queries", embedded, *options)
    assert made.exit_code == 0, made.output
    assert f"3 tracks; {N_ITEMS - 3} items without metadata left out" in made.stderr
    catalogue, table = load(own), pq.read_table(embedded)
    predicted = np.array(table["embedding"].to_pylist(), np.float32)
    np.testing.assert_allclose(catalogue.query_mean, predicted.mean(0), rtol=1e-5)
    kept = np.load(factors / "item_factors.npy")[[0, 2, 6]]
    np.testing.assert_allclose(catalogue.mean, kept.mean(0), rtol=1e-5)
    assert (catalogue.source.precision, catalogue.about) == (None, "drawn")
    # It is in the model's folder, so it is the one that is asked by default.
    hits = hits_of(run("similar", songs / "album 0" / "0.wav", "--json").stdout)
    assert {hit["artist"] for hit in hits} == {"A", "B", "C"}


def test_factors_of_another_space_are_refused_by_both_names(
    embedded: Path, tmp_path: Path, run: Run
) -> None:
    other = write_factors(tmp_path / "factors", space="b" * 64)
    names = tmp_path / "names.csv"
    names.write_text("track_id,artist\n00,A\n")
    for arguments in (
        (embedded, "--users", other),
        (other, "--queries", embedded, "--metadata", names),
    ):
        result = run("index", *arguments, "--out", tmp_path / "c.parquet")
        assert result.exit_code == 1
        assert "CF space bbbbbbbbbbbb" in result.stderr
        assert f"CF space {SPACE[:12]}" in result.stderr
    assert not (tmp_path / "c.parquet").exists()


def test_without_users_or_a_catalogue_the_remedy_is_named(catalogue: Path, run: Run) -> None:
    result = run("listeners", "album 0/0", "--catalogue", catalogue)
    assert result.exit_code == 1
    assert "--users" in result.stderr
    result = run("similar", "album 0/0")
    assert result.exit_code == 1
    assert "--catalogue" in result.stderr


def test_songs_that_were_put_over_http_are_found(catalogue: Path, run: Run) -> None:
    known = load_current(catalogue)
    vector = np.ones(SIZES["embedding"], np.float32)
    track = Track("put", vector, artist="Somebody")
    journal.put(known, catalogue, track, known.catalogue.source)
    ids = {
        hit["track_id"]
        for hit in hits_of(run("similar", "album 0/0", "--catalogue", catalogue, "--json").stdout)
    }
    assert "put" in ids
    made = run("index", catalogue.parent / "e.parquet", "--out", catalogue)
    assert "journal stays" in made.stderr
    assert load_current(catalogue).catalogue.find("put") is not None
