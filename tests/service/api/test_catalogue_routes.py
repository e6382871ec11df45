"""`/catalogue/{track_id}` and `/listeners`: a new song has neighbours and an audience at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasteprint_client import AsyncClient, Client, NotFound, ReadOnly

from models.bundle import read
from models.catalogue import Catalogue, CatalogueSource, load, save
from models.catalogue.journal import journal_of, load_current
from models.catalogue.users import make_users
from tests.bundles import in_space, small_models
from tests.client.either import Either
from tests.running import Service, running, wait_until
from tests.service.scrapes import scrape
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write

SPACE = "0123456789ab" + "0" * 52
N_SONGS, N_USERS = 6, 30
CLIENTS = pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["blocking", "asyncio"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("catalogue")


@pytest.fixture(scope="module")
def songs(folder: Path) -> list[Path]:
    return [
        write(folder / f"{index}.wav", golden(2.0, 16_000, 1, seed=700 + index), 16_000)
        for index in range(N_SONGS)
    ]


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, Any]:
    """Of a service whose default model brings a catalogue with users, and one that is written."""
    settings = small_models(folder)
    bundle = in_space(read(folder / "models" / "levels"), SPACE)
    card = bundle.card
    source = CatalogueSource(card.name, card.version, bundle.digest, SPACE)
    rng = np.random.default_rng(0)
    dim = card.output_shape("embedding")[0]
    factors = rng.normal(size=(N_USERS, dim)).astype(np.float32)
    users = make_users([f"u{row}" for row in range(N_USERS)], factors)
    artists = rng.normal(size=(4, dim)).astype(np.float32)
    ids, mean = [f"artist:{row}" for row in range(4)], np.full(dim, 0.1, np.float32)
    shipped = Catalogue.build(source, ids, artists, {"artist": ids}, mean, users=users)
    save(shipped, bundle.folder / "catalogue.parquet")
    written = {"catalogue": folder / "songs.parquet", "catalogue_writable": True}
    return {**settings, **written, "precision": "float32"}


@pytest.fixture(scope="module")
def service(folder: Path, settings: dict[str, Any]) -> Iterator[Service]:
    with running(folder / "log", **settings) as service:
        yield service


@pytest.fixture(autouse=True)
def no_songs(service: Service, settings: dict[str, Any]) -> Iterator[None]:
    """Each test begins and ends with an empty catalogue."""
    yield
    ids = load_current(settings["catalogue"]).catalogue.compact().columns["track_id"].to_pylist()
    for track_id in ids:
        service.http.delete(f"/catalogue/{track_id}").raise_for_status()


def put(service: Service, track_id: str, song: Path, **query: str) -> Any:
    files = {"file": ("x", song.read_bytes())}
    return service.http.put(f"/catalogue/{track_id}", files=files, params=query)


def cosines(service: Service, song: Path) -> dict[str, float]:
    hits = service.answer("/similar", song, limit=100)["hits"]
    return {hit["track_id"]: hit["cosine"] for hit in hits}


def test_a_catalogue_that_does_not_exist_begins_with_the_means_and_users_of_the_shipped_one(
    service: Service, settings: dict[str, Any], songs: list[Path]
) -> None:
    answer = service.answer("/similar", songs[0])
    assert answer["hits"] == []
    assert (answer["catalogue"]["tracks"], answer["catalogue"]["users"]) == (0, N_USERS)
    begun, bundle = load(settings["catalogue"]), settings["models_dir"] / "levels"
    shipped = load(bundle / "catalogue.parquet")
    np.testing.assert_array_equal(begun.query_mean, shipped.query_mean)


def test_a_song_that_is_put_has_neighbours_at_once_and_changes_no_others(
    service: Service, songs: list[Path]
) -> None:
    before: dict[str, float] = {}
    for index, song in enumerate(songs[1:]):
        answer = put(service, f"album/{index}", song, title=f"Song {index}", artist="Artist")
        assert answer.status_code == 201, answer.text
        assert answer.json()["catalogue"]["tracks"] == index + 1
        assert not answer.json()["replaced"]
        after = cosines(service, songs[0])
        assert before.items() <= after.items()
        assert len(after) == index + 1
        before = after
    near = service.http.get("/similar", params={"track_id": "album/2"}).json()["hits"]
    assert sorted(hit["track_id"] for hit in near) == [f"album/{row}" for row in (0, 1, 3, 4)]
    assert {(hit["title"], hit["artist"]) for hit in near} == {
        (f"Song {row}", "Artist") for row in (0, 1, 3, 4)
    }
    assert cosines(service, songs[1]).keys() == before.keys() - {"album/0"}  # known by its digest


def test_an_id_that_is_put_twice_replaces_and_one_that_is_deleted_is_gone(
    service: Service, songs: list[Path]
) -> None:
    assert put(service, "one", songs[1]).status_code == 201
    first = cosines(service, songs[0])
    again = put(service, "one", songs[2])
    assert again.status_code == 200
    assert again.json()["replaced"]
    assert again.json()["catalogue"]["tracks"] == 1
    assert cosines(service, songs[0]) != first
    deleted = service.http.delete("/catalogue/one")
    assert deleted.json()["catalogue"]["tracks"] == 0
    assert cosines(service, songs[0]) == {}
    gone = assert_problem(service.http.delete("/catalogue/one"), 404, "unknown-track")
    assert "'one'" in gone["detail"]


def test_songs_outlive_a_restart_and_are_seen_by_services_beside(
    folder: Path, service: Service, settings: dict[str, Any], songs: list[Path]
) -> None:
    put(service, "one", songs[1])
    expected = cosines(service, songs[0])
    with running(folder / "second", **settings) as second:
        assert cosines(second, songs[0]) == expected
        assert put(second, "two", songs[2]).status_code == 201
        expected = cosines(second, songs[0])
        wait_until(lambda: cosines(service, songs[0]) == expected, "the first service sees it")
        put(service, "three", songs[3])
        assert cosines(service, songs[0]).keys() == {"one", "two", "three"}
        wait_until(lambda: len(cosines(second, songs[0])) == 3, "the second service sees it")


def test_concurrent_puts_are_all_there(service: Service, songs: list[Path]) -> None:
    def one(index: int) -> int:
        status: int = put(service, str(index), songs[1 + index % 3]).status_code
        return status

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(one, range(12))) == {201}
    answer = service.http.get("/similar", params={"track_id": "0", "limit": 100}).json()
    assert answer["catalogue"]["tracks"] == 12


def test_a_bad_upload_changes_nothing(service: Service, settings: dict[str, Any]) -> None:
    before = load_current(settings["catalogue"]).changes
    bad = service.http.put("/catalogue/x", files={"file": ("x", b"no audio")})
    assert_problem(bad, 415, "not-audio")
    assert_problem(service.http.put("/catalogue/x", params={"limit": 1}), 400, "unknown-parameter")
    other = service.http.get("/catalogue/a/b")
    assert other.status_code == 405
    assert other.headers["allow"] == "DELETE, PUT"
    assert other.json()["remedy"] == "send PUT /catalogue/a/b"
    assert load_current(settings["catalogue"]).changes == before


def test_a_catalogue_is_read_only_unless_it_is_set_writable(
    folder: Path, settings: dict[str, Any], songs: list[Path]
) -> None:
    read_only = {**settings, "catalogue": "", "catalogue_writable": False, "api_keys": "k" * 20}
    with running(folder / "read only", **read_only) as service:
        assert_problem(put(service, "x", songs[0]), 401, "no-key")
        assert_problem(service.http.delete("/catalogue/x"), 401, "no-key")
        service.http.headers["x-api-key"] = "k" * 20
        for answer in (put(service, "x", songs[0]), service.http.delete("/catalogue/x")):
            problem = assert_problem(answer, 403, "catalogue-read-only")
            assert "TASTEPRINT_CATALOGUE_WRITABLE=true" in problem["remedy"]
        # By default the service asks the catalogue that the default model brings.
        answer = service.answer("/similar", songs[0])
        assert {hit["artist"] for hit in answer["hits"]} == {f"artist:{row}" for row in range(4)}


def test_a_song_is_not_put_beside_vectors_of_another_precision(
    folder: Path, settings: dict[str, Any], songs: list[Path]
) -> None:
    bundle = read(settings["models_dir"] / "levels")
    source = CatalogueSource("levels", bundle.card.version, bundle.digest, SPACE, "int8")
    path = folder / "int8.parquet"
    dim = bundle.card.output_shape("embedding")[0]
    save(Catalogue.build(source, ["a"], np.ones((1, dim), np.float32), {}), path)
    with running(folder / "int8 log", **(settings | {"catalogue": path})) as service:
        problem = assert_problem(put(service, "x", songs[0]), 409, "other-precision")
        assert (problem["limit"], problem["value"]) == ("int8", "float32")
        assert problem["remedy"] == "set TASTEPRINT_PRECISION=int8"
        assert not journal_of(path).exists()
        assert service.answer("/similar", songs[0])["catalogue"]["precision"] == "int8"
        problem = assert_problem(service.post("/listeners", songs[0]), 404, "no-user-factors")
        assert "--users" in problem["remedy"]


def test_the_users_most_likely_to_like_a_song_are_named(
    service: Service, settings: dict[str, Any], songs: list[Path]
) -> None:
    users = load(settings["catalogue"]).users
    assert users
    embedded = service.embedding(songs[0])["embedding"]
    scores = users.factors @ (np.array(embedded) / np.linalg.norm(embedded))
    order = np.argsort(-scores)[:5]
    answer = service.answer("/listeners", songs[0], limit=5)
    ranked = answer["listeners"]
    assert [user["user_id"] for user in ranked] == [f"u{row}" for row in order]
    assert [user["score"] for user in ranked] == pytest.approx(scores[order], abs=1e-5)
    assert [user["rank"] for user in ranked] == [1, 2, 3, 4, 5]
    assert answer["catalogue"]["space"] == answer["model"]["space"] == SPACE
    put(service, "one", songs[0])
    by_id = service.http.get("/listeners", params={"track_id": "one", "limit": 5}).json()
    assert [user["user_id"] for user in by_id["listeners"]] == [f"u{row}" for row in order]
    digest = answer["audio"]["sha256"]
    service.http.delete("/catalogue/one")
    cached = service.http.get("/listeners", params={"sha256": digest, "limit": 5}).json()
    assert cached["listeners"] == ranked
    assert_problem(service.http.get("/listeners"), 422, "invalid-parameter")
    unknown = service.http.get("/listeners", params={"track_id": "nonesuch"})
    assert_problem(unknown, 404, "unknown-track")


@CLIENTS
def test_the_clients_put_ask_and_delete(
    service: Service, songs: list[Path], kind: type[Client] | type[AsyncClient]
) -> None:
    ask = Either(kind, service.url)
    track = "a folder/ü?#%2F"
    new = ask(lambda client: client.put_track(track, songs[1], title="One", artist="Somebody"))
    assert (new.track_id, new.replaced, new.catalogue.tracks) == (track, False, 1)
    assert ask(lambda client: client.put_track(track, songs[1], artist="Somebody")).replaced
    (hit,) = ask(lambda client: client.similar(songs[0])).hits
    assert (hit.track_id, hit.artist, hit.title) == (track, "Somebody", None)
    by_id = ask(lambda client: client.listeners_of([track], limit=3))
    by_upload = ask(lambda client: client.listeners(songs[1], limit=3))
    assert [user.user_id for user in by_id.listeners] == [
        user.user_id for user in by_upload.listeners
    ]
    assert by_upload.catalogue.users == N_USERS
    assert by_upload.model.space == SPACE
    assert ask(lambda client: client.delete_track(track))
    assert not ask(lambda client: client.delete_track(track))
    with pytest.raises(NotFound, match="nonesuch"):
        ask(lambda client: client.listeners_of(["nonesuch"]))


@CLIENTS
def test_the_clients_name_a_catalogue_that_is_read_only(
    folder: Path,
    settings: dict[str, Any],
    songs: list[Path],
    kind: type[Client] | type[AsyncClient],
) -> None:
    with running(folder / "log of one", **(settings | {"catalogue_writable": False})) as service:
        ask = Either(kind, service.url)
        for call in (
            lambda client: client.put_track("x", songs[0]),
            lambda client: client.delete_track("x"),
        ):
            with pytest.raises(ReadOnly, match="TASTEPRINT_CATALOGUE_WRITABLE"):
                ask(call)


def test_all_ids_have_one_label_in_the_metrics(service: Service, songs: list[Path]) -> None:
    for track_id in ("a", "album/b"):
        assert put(service, track_id, songs[0]).status_code in {200, 201}
    routes = {labels["route"] for labels in scrape(service).labels("tasteprint_requests_total")}
    assert {route for route in routes if "catalogue" in route} == {"/catalogue/{track_id}"}
