"""Catalogues: exact search, what is left out, and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.catalogue import (
    BadCatalogue,
    Catalogue,
    CatalogueSource,
    Filters,
    Track,
    file,
    load,
    save,
    unit,
)
from models.catalogue import search as stage
from models.catalogue.users import make_users

SOURCE = CatalogueSource("cf-estimator", "2.0.0", "d" * 64, "a" * 64)
N_TRACKS, DIM = 400, 8


def vectors_of(seed: int = 0) -> np.ndarray:
    """Vectors with a large common part, as predicted ones have."""
    rng = np.random.default_rng(seed)
    drawn: np.ndarray = (rng.normal(size=(N_TRACKS, DIM)) + 5).astype(np.float32)
    return drawn


@pytest.fixture
def catalogue() -> Catalogue:
    texts: dict[str, list[str | None]] = {
        "artist": [None if index % 7 == 0 else f"artist {index % 5}" for index in range(N_TRACKS)],
        "title": [f"title {index}" for index in range(N_TRACKS)],
        "sha256": [f"{index:064x}" for index in range(N_TRACKS)],
    }
    ids = [f"t{index}" for index in range(N_TRACKS)]
    return Catalogue.build(SOURCE, ids, vectors_of(), texts)


def test_the_nearest_are_found_in_order(catalogue: Catalogue) -> None:
    query = catalogue.centre(vectors_of(1)[:1], SOURCE)
    hits = catalogue.search(query, Filters(limit=20))
    expected = vectors_of().astype(np.float64)
    expected -= expected.mean(0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    cosines = expected @ query[0]
    order = np.argsort(-cosines)[:20]
    assert [hit.track_id for hit in hits] == [f"t{index}" for index in order]
    assert [hit.cosine for hit in hits] == pytest.approx(cosines[order], abs=1e-5)
    assert [hit.rank for hit in hits] == list(range(1, 21))
    assert hits[0].percentile == pytest.approx(100 * (1 - 1 / N_TRACKS))
    assert hits[0].title == f"title {order[0]}"


@pytest.mark.parametrize("min_candidates", [1, 3, 1000])
def test_however_many_are_sorted_at_a_time_the_order_is_that_of_all(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, min_candidates: int
) -> None:
    query = catalogue.centre(vectors_of(1)[:1], SOURCE)
    expected = catalogue.search(query, Filters(limit=N_TRACKS))
    assert len(expected) == N_TRACKS
    monkeypatch.setattr(stage, "MIN_CANDIDATES", min_candidates)
    assert catalogue.search(query, Filters(limit=N_TRACKS)) == expected


def test_equal_cosines_are_in_the_order_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "MIN_CANDIDATES", 2)
    vectors = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)
    same = Catalogue.build(SOURCE, [str(index) for index in range(10)], vectors, {})
    query = np.array([[0.6, 0.8]], np.float32)
    assert [hit.track_id for hit in same.search(unit(query), Filters(limit=10))] == [
        *map(str, [5, 6, 7, 8, 9, 0, 1, 2, 3, 4])
    ]


def test_a_seed_and_its_copies_are_not_among_the_hits(catalogue: Catalogue) -> None:
    vectors = vectors_of()
    vectors[9] = vectors[3]  # the same recording under another id
    texts = {"sha256": [f"{min(index, 8):064x}" for index in range(N_TRACKS)]}
    ids = [f"t{index}" for index in range(N_TRACKS)]
    copied = Catalogue.build(SOURCE, ids, vectors, texts)
    hits = copied.search(copied.vectors[[3]], Filters(limit=N_TRACKS), seed_positions=[3])
    assert {"t3", "t9"}.isdisjoint(hit.track_id for hit in hits)
    assert len(hits) == N_TRACKS - 2
    assert hits[0].rank == 3  # the rank tells what was left out
    query = copied.centre(vectors_of(1)[:1], SOURCE)
    hits = copied.search(query, Filters(limit=N_TRACKS), seed_sha256=[f"{2:064x}"])
    assert {hit.track_id for hit in hits} == set(ids) - {"t2"}


def test_several_seeds_ask_for_what_is_near_to_all(catalogue: Catalogue) -> None:
    seeds = catalogue.vectors[[10, 20]]
    hits = catalogue.search(seeds, Filters(limit=3), seed_positions=[10, 20])
    middle = unit(seeds.mean(0, keepdims=True))
    cosines = (catalogue.vectors @ middle[0]).tolist()
    others = sorted(set(range(N_TRACKS)) - {10, 20}, key=lambda index: -cosines[index])
    assert [hit.track_id for hit in hits] == [f"t{index}" for index in others[:3]]


def test_artists_can_be_left_out_or_limited(catalogue: Catalogue) -> None:
    seeds = catalogue.vectors[[1]]  # by artist 1
    others = catalogue.search(
        seeds, Filters(limit=N_TRACKS, exclude_same_artist=True), seed_positions=[1]
    )
    assert "artist 1" not in {hit.artist for hit in others}
    assert None in {hit.artist for hit in others}  # an unknown artist is none of the seed's
    few = catalogue.search(seeds, Filters(limit=N_TRACKS, max_per_artist=2), seed_positions=[1])
    named = [hit.artist for hit in few if hit.artist]
    assert sorted(named) == sorted(2 * [f"artist {index}" for index in range(5)])
    assert len(few) > len(named)


def test_hits_have_the_minimum_cosine(catalogue: Catalogue) -> None:
    hits = catalogue.search(catalogue.vectors[[1]], Filters(limit=N_TRACKS, min_cosine=0.5))
    assert hits
    assert all(hit.cosine >= 0.5 for hit in hits)
    assert len(hits) < N_TRACKS / 2


def test_centring_takes_hubs_away(catalogue: Catalogue) -> None:
    """With the common part, every cosine is high."""
    plain = unit(vectors_of())
    assert np.median(plain @ plain[0]) > 0.9
    assert abs(np.median(catalogue.vectors @ catalogue.vectors[0])) < 0.2


def test_queries_may_have_a_common_part_of_their_own(tmp_path: Path) -> None:
    """Item factors and predictions of them."""
    factors = vectors_of()
    predicted = factors + 3
    ids = [f"t{index}" for index in range(N_TRACKS)]
    plain = Catalogue.build(SOURCE, ids, factors, {})
    own = Catalogue.build(SOURCE, ids, factors, {}, query_mean=predicted.mean(0))
    save(own, tmp_path / "c.parquet")
    read = load(tmp_path / "c.parquet")
    for catalogue in (own, read):
        centred = catalogue.centre(predicted, SOURCE)
        assert (centred * catalogue.vectors).sum(1).min() > 0.999
    assert (plain.centre(predicted, SOURCE) * plain.vectors).sum(1).min() < 0.9


def test_a_catalogue_is_read_as_it_was_written(catalogue: Catalogue, tmp_path: Path) -> None:
    save(catalogue, tmp_path / "c.parquet")
    read = load(tmp_path / "c.parquet")
    assert read.source == SOURCE
    np.testing.assert_array_equal(read.vectors, catalogue.vectors)
    np.testing.assert_array_equal(read.mean, catalogue.mean)
    query = catalogue.vectors[[7]]
    assert read.search(query, Filters()) == catalogue.search(query, Filters())
    assert read.find("t7") == 7
    assert read.find("nonesuch") is None


@pytest.mark.parametrize("read_rows", [1, 7, N_TRACKS, N_TRACKS + 20])
def test_however_many_rows_are_read_at_a_time_songs_and_users_are_those_written(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_rows: int
) -> None:
    factors = np.random.default_rng(4).normal(size=(50, DIM)).astype(np.float32)
    users = make_users([f"u{row}" for row in range(50)], factors)
    written = catalogue.with_users(users).put(Track("new", vectors_of(2)[0])).delete("t3")
    save(written, tmp_path / "c.parquet")
    monkeypatch.setattr(file, "READ_ROWS", read_rows)
    read, expected = load(tmp_path / "c.parquet"), written.compact()
    np.testing.assert_array_equal(read.vectors, expected.vectors)
    np.testing.assert_array_equal(read.lengths, expected.lengths)
    np.testing.assert_array_equal(read.predicted, expected.predicted)
    assert {name: column.to_pylist() for name, column in read.columns.items()} == {
        name: column.to_pylist() for name, column in expected.columns.items()
    }
    assert read.users
    assert read.users.ids.equals(users.ids)
    np.testing.assert_array_equal(read.users.factors, factors)


def test_vectors_of_another_space_are_refused_by_both_names(catalogue: Catalogue) -> None:
    vector = vectors_of()[:1]
    same_space = replace(SOURCE, model="cf-estimator-large", digest="e" * 64)
    catalogue.centre(vector, same_space)
    for other in (replace(SOURCE, space="b" * 64), replace(SOURCE, space=None)):
        with pytest.raises(BadCatalogue, match=r"CF space aaaaaaaaaaaa.*cf-estimator 2\.0\.0"):
            catalogue.centre(vector, other)
    plain = Catalogue.build(replace(SOURCE, space=None), ["t"], vector, {})
    with pytest.raises(BadCatalogue, match="nothing in common"):
        plain.centre(vector, replace(SOURCE, space=None, digest="e" * 64))


def test_a_cosine_does_not_depend_on_the_songs_beside(catalogue: Catalogue) -> None:
    """A matrix product may round a row otherwise among other rows."""
    query = catalogue.centre(vectors_of(1)[:1], SOURCE)
    hits = catalogue.search(query, Filters(limit=N_TRACKS))
    expected = {hit.track_id: hit.cosine for hit in hits}
    for n_tracks in (1, 2, 3, 7, 129, 390):
        begin = N_TRACKS - n_tracks
        part = replace(
            catalogue,
            blocks=(np.ascontiguousarray(catalogue.vectors[begin:]),),
            columns={name: column.slice(begin) for name, column in catalogue.columns.items()},
            lengths=catalogue.lengths[begin:],
            predicted=catalogue.predicted[begin:],
        )
        for hit in part.search(query, Filters(limit=n_tracks)):
            assert hit.cosine == expected[hit.track_id]


def test_users_are_ranked_by_their_product_with_the_song(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    factors = rng.normal(size=(50, DIM)).astype(np.float32)
    users = make_users([f"u{row}" for row in range(50)], factors)
    ids = [f"t{row}" for row in range(N_TRACKS)]
    vectors = vectors_of()
    made = Catalogue.build(SOURCE, ids, vectors, {}, vectors.mean(0) + 1, users=users)
    save(made, tmp_path / "c.parquet")
    read = load(tmp_path / "c.parquet")
    assert read.users
    assert len(read) == N_TRACKS  # the users' rows are no tracks
    songs = read.predictions_at([3])
    np.testing.assert_allclose(songs, vectors[[3]], rtol=1e-5)
    scores = factors.astype(np.float64) @ vectors[3] / np.linalg.norm(vectors[3])
    order = np.argsort(-scores)
    ranked = read.users.rank(songs, 5)
    assert [user.user_id for user in ranked] == [f"u{row}" for row in order[:5]]
    assert [user.score for user in ranked] == pytest.approx(scores[order[:5]], abs=1e-5)
    assert [user.rank for user in ranked] == [1, 2, 3, 4, 5]
    assert ranked[0].percentile == pytest.approx(98)
    assert len(read.users.rank(songs, 1000)) == 50


def test_users_of_other_dimensions_are_refused() -> None:
    users = make_users(["u"], np.ones((1, DIM - 1), np.float32))
    with pytest.raises(BadCatalogue, match=r"\(1, 7\)"):
        Catalogue.build(SOURCE, ["t"], vectors_of()[:1], {}, users=users)


@pytest.mark.parametrize(
    ("ids", "value", "said"),
    [([], 0.0, "no track"), (["a", "a"], 0.0, "'a' comes twice"), (["a", "b"], np.nan, "'b'")],
)
def test_what_is_no_catalogue_is_refused(ids: list[str], value: float, said: str) -> None:
    vectors = np.ones((len(ids), 2), np.float32)
    vectors[-1:, 0] = value
    with pytest.raises(BadCatalogue, match=said):
        Catalogue.build(SOURCE, ids, vectors, {})


def test_another_file_is_no_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"track_id": ["a"]}), path)
    with pytest.raises(BadCatalogue, match="tasteprint index"):
        load(path)
    with pytest.raises(BadCatalogue, match="gone"):
        load(tmp_path / "gone.parquet")
