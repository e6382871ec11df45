"""`/similar`: the songs of a catalogue nearest to an upload, or to known songs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasteprint_client import AsyncClient, Client, NotFound

from models.catalogue import Catalogue, CatalogueSource, load, save
from service.catalogue.store import CatalogueStore, source_of
from service.errors import CannotStart
from service.settings import Settings
from tests.bundles import small_models, write_bundle
from tests.client.either import Either
from tests.running import Service, running, wait_until
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write

N_SONGS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("similar")


@pytest.fixture(scope="module")
def songs(folder: Path) -> list[Path]:
    """Songs of two seconds; the catalogue has all but the last one."""
    return [
        write(folder / f"{index}.wav", golden(2.0, 16_000, 1, seed=600 + index), 16_000)
        for index in range(N_SONGS + 1)
    ]


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, Any]:
    return {**small_models(folder), "catalogue": folder / "catalogue.parquet"}


def write_catalogue(path: Path, source: CatalogueSource, vectors: Any, songs: list[Path]) -> None:
    texts: dict[str, list[str | None]] = {
        "title": [f"Song {index}" for index in range(len(songs))],
        "artist": [None if index == 4 else f"Artist {index % 2}" for index in range(len(songs))],
        "sha256": [hashlib.sha256(song.read_bytes()).hexdigest() for song in songs],
    }
    ids = [f"track {index}" for index in range(len(songs))]
    save(Catalogue.build(source, ids, np.array(vectors, np.float32), texts), path)


@pytest.fixture(scope="module")
def similar(
    folder: Path, settings: dict[str, Any], songs: list[Path]
) -> Iterator[tuple[Service, Catalogue]]:
    """A service with a catalogue of songs that it embedded itself, and that catalogue."""
    path = settings["catalogue"]
    with running(folder / "first", **(settings | {"catalogue": "none"})) as service:
        answers = [service.embedding(song) for song in songs[:N_SONGS]]
    used = answers[0]["model"]
    source = CatalogueSource(used["name"], used["version"], used["digest"], used.get("space"))
    write_catalogue(path, source, [answer["embedding"] for answer in answers], songs[:N_SONGS])
    with running(folder / "log", **settings) as service:
        yield service, load(path)


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["track_id"] for hit in answer["hits"]]


def test_an_upload_has_the_nearest_songs_first(
    similar: tuple[Service, Catalogue], songs: list[Path]
) -> None:
    service, catalogue = similar
    answer = service.answer("/similar", songs[-1])
    vector = np.array([service.embedding(songs[-1])["embedding"]], np.float32)
    cosines = catalogue.vectors @ catalogue.centre(vector, catalogue.source)[0]
    assert ids(answer) == [f"track {index}" for index in np.argsort(-cosines)]
    assert [hit["cosine"] for hit in answer["hits"]] == pytest.approx(sorted(cosines)[::-1])
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3, 4, 5]
    assert answer["catalogue"]["tracks"] == N_SONGS
    assert answer["catalogue"]["digest"] == answer["model"]["digest"]
    assert answer["audio"]["duration"] == pytest.approx(2)


def test_an_upload_that_is_in_the_catalogue_is_not_its_own_neighbour(
    similar: tuple[Service, Catalogue], songs: list[Path]
) -> None:
    service, _ = similar
    by_upload = service.answer("/similar", songs[1])
    assert "track 1" not in ids(by_upload)
    assert len(ids(by_upload)) == N_SONGS - 1
    by_id = service.http.get("/similar", params={"track_id": "track 1"}).json()
    digest = hashlib.sha256(songs[1].read_bytes()).hexdigest()
    by_digest = service.http.get("/similar", params={"sha256": digest.upper()}).json()
    assert ids(by_id) == ids(by_digest) == ids(by_upload)
    assert "audio" not in by_id


def test_cached_audio_that_is_in_no_catalogue_has_neighbours(
    similar: tuple[Service, Catalogue], songs: list[Path]
) -> None:
    service, _ = similar
    expected = service.answer("/similar", songs[-1])
    digest = hashlib.sha256(songs[-1].read_bytes()).hexdigest()
    assert (
        service.http.get("/similar", params={"sha256": digest}).json()["hits"] == (expected["hits"])
    )


def test_several_seeds_and_filters(similar: tuple[Service, Catalogue]) -> None:
    service, _ = similar
    seeds = {"track_id": ["track 0", "track 2"]}
    answer = service.http.get("/similar", params=seeds).json()
    assert sorted(ids(answer)) == ["track 1", "track 3", "track 4"]
    others = service.http.get("/similar", params=seeds | {"exclude_same_artist": True}).json()
    assert sorted(ids(others)) == ["track 1", "track 3", "track 4"]  # the seeds' artist is 0
    one = service.http.get("/similar", params={"track_id": "track 1", "max_per_artist": 1}).json()
    artists = [hit.get("artist") for hit in one["hits"]]
    assert sorted(filter(None, artists)) == ["Artist 0", "Artist 1"]
    assert None in artists
    first = service.http.get("/similar", params={"track_id": "track 1", "limit": 1}).json()
    assert len(first["hits"]) == 1


def test_mistakes_are_named(similar: tuple[Service, Catalogue], songs: list[Path]) -> None:
    service, _ = similar
    unknown = service.http.get("/similar", params={"track_id": "nonesuch"})
    assert "nonesuch" in assert_problem(unknown, 404, "unknown-track")["detail"]
    digest = service.http.get("/similar", params={"sha256": "0" * 64})
    assert_problem(digest, 404, "unknown-track")
    assert_problem(service.http.get("/similar"), 422, "invalid-parameter")
    assert_problem(service.post("/similar", songs[0], limit=0), 422, "invalid-parameter")
    assert_problem(service.post("/similar", b"no audio"), 415, "not-audio")
    other = service.http.delete("/similar")
    assert other.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["blocking", "asyncio"])
def test_the_clients_answers_are_those_of_the_route(
    similar: tuple[Service, Catalogue],
    songs: list[Path],
    kind: type[Client] | type[AsyncClient],
) -> None:
    service, _ = similar
    ask = Either(kind, service.url)
    expected = service.answer("/similar", songs[-1], limit=2)
    answer = ask(lambda client: client.similar(songs[-1], limit=2))
    assert [hit.track_id for hit in answer.hits] == ids(expected)
    assert answer.catalogue.tracks == N_SONGS
    assert answer.audio.sha256 == expected["audio"]["sha256"]
    seeds = ["track 0", "track 2"]
    expected = service.http.get("/similar", params={"track_id": seeds}).json()
    answer = ask(lambda client: client.similar_to(seeds))
    assert [(hit.track_id, hit.rank) for hit in answer.hits] == [
        (hit["track_id"], hit["rank"]) for hit in expected["hits"]
    ]
    with pytest.raises(NotFound, match="nonesuch"):
        ask(lambda client: client.similar_to(["nonesuch"]))


def test_without_a_catalogue_the_remedy_is_named(tmp_path: Path, short_clip: Path) -> None:
    with running(tmp_path / "log", **small_models(tmp_path)) as service:
        for route in ("/similar", "/listeners"):
            problem = assert_problem(service.post(route, short_clip), 404, "no-catalogue")
            assert "TASTEPRINT_CATALOGUE" in problem["remedy"]
            asked = service.http.get(route, params={"track_id": "x"})
            assert_problem(asked, 404, "no-catalogue")
        for ask in (service.http.put, service.http.delete):
            assert_problem(ask("/catalogue/x"), 404, "no-catalogue")


def test_a_catalogue_that_is_replaced_is_read_without_a_lost_request(
    similar: tuple[Service, Catalogue], settings: dict[str, Any], songs: list[Path]
) -> None:
    service, catalogue = similar
    path: Path = settings["catalogue"]
    old = path.read_bytes()
    query = {"track_id": "track 0"}

    def ask(_: int) -> int:
        return service.http.get("/similar", params=query).status_code

    try:
        with ThreadPoolExecutor(4) as pool:
            asked = pool.map(ask, range(40))
            write_catalogue(path, catalogue.source, catalogue.vectors[:3], songs[:3])
            assert set(asked) == {200}
        wait_until(
            lambda: service.http.get("/similar", params=query).json()["catalogue"]["tracks"] == 3,
            "the new catalogue is in use",
        )
        path.with_suffix(".bad").write_bytes(b"no catalogue")
        path.with_suffix(".bad").replace(path)
        wait_until(
            lambda: ask(0) == 200 and "the catalogue stays as it was" in service.log(),
            "the bad file is refused",
        )
        assert service.http.get("/similar", params=query).json()["catalogue"]["tracks"] == 3
    finally:
        path.with_suffix(".old").write_bytes(old)
        path.with_suffix(".old").replace(path)
        wait_until(
            lambda: (
                service.http.get("/similar", params=query).json()["catalogue"]["tracks"] == N_SONGS
            ),
            "the old catalogue is in use again",
        )


def test_a_catalogue_of_another_model_keeps_the_service_from_starting(
    tmp_path: Path, songs: list[Path]
) -> None:
    bundle = write_bundle(tmp_path / "models", "levels")
    path = tmp_path / "catalogue.parquet"
    settings = Settings(catalogue=path)
    other = CatalogueSource("another", "1.0.0", "e" * 64)
    write_catalogue(path, other, np.eye(2), songs[:2])
    with pytest.raises(CannotStart, match=r"another 1\.0\.0"):
        CatalogueStore(settings, {"levels": bundle})
    write_catalogue(path, source_of(bundle), np.eye(2), songs[:2])
    assert CatalogueStore(settings, {"levels": bundle}).encoder == "levels"
    with pytest.raises(CannotStart, match="gone"):
        CatalogueStore(Settings(catalogue=tmp_path / "gone.parquet"), {"levels": bundle})
