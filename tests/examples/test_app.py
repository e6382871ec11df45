"""The recommender's HTTP API on a real service with a small encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from examples.recommender.app import create_app
from examples.recommender.settings import Settings
from tests.bundles import write_bundle
from tests.examples.world import World
from tests.redis_server import free_port
from tests.running import Service, running


@pytest.fixture(scope="module")
def service(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose default encoder is in the world's space, and another one that is in none."""
    folder = tmp_path_factory.mktemp("service")
    world.write_encoder(folder / "models")
    write_bundle(folder / "models", "levels")
    settings = {"models_dir": folder / "models", "default_model": "planted", "decode_workers": 1}
    with running(folder / "log", **settings) as service:
        yield service


@pytest.fixture
def settings(service: Service, factors_folder: Path, tmp_path: Path) -> Settings:
    return Settings(
        service_url=service.url,
        factors=factors_folder,
        database=tmp_path / "recommender.sqlite",
        max_upload_bytes=100_000,
    )


@pytest.fixture
def http(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as http:
        yield http


@pytest.fixture(scope="module")
def song(world: World, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return world.song(tmp_path_factory.mktemp("song") / "song.wav", world.held_out[0])


def test_routes_are_the_ones_of_the_page(http: TestClient) -> None:
    routes = {
        (method.upper(), path)
        for path, methods in http.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    assert routes == {
        ("PUT", "/tracks/{track_id}"),
        ("GET", "/tracks/{track_id}"),
        ("POST", "/plays"),
        ("GET", "/recommend/{user}"),
        ("POST", "/recommend"),
        ("GET", "/audience/{track_id}"),
    }


def test_a_song_by_its_audio_and_then_by_plays(http: TestClient, world: World, song: bytes) -> None:
    put = http.put("/tracks/label/song-1", content=song)
    assert put.status_code == 200
    assert put.json() == {
        "track_id": "label/song-1",
        "is_new": True,
        "n_listeners": 0,
        "n_plays": 0,
        "sound": 1.0,
        "space": world.factorization.space,
    }
    ranked = http.get("/recommend/user-0").json()
    assert ranked["recommendations"][-1]["track_id"] == "label/song-1"
    assert ranked["songs_of_other_spaces"] == 0
    audience = http.get("/audience/label/song-1", params={"limit": 24}).json()["users"]
    named = {user["user"] for user in audience}
    # A tenth of the users; by chance a tenth of the listeners would be among them.
    listeners = set(world.listeners(world.held_out[0]))
    assert len(named & listeners) > 0.3 * len(listeners)
    plays = [{"user": user, "track": "label/song-1", "plays": 2} for user in sorted(listeners)[:4]]
    assert http.post("/plays", json={"plays": plays}).json() == {"stored": 4, "unknown_tracks": []}
    known = http.get("/tracks/label/song-1").json()
    assert (known["n_listeners"], known["n_plays"]) == (4, 8)
    assert 0 < known["sound"] < 1


def test_a_restart_answers_the_same(settings: Settings, song: bytes) -> None:
    ask = ["/recommend/user-1", "/audience/song", "/tracks/song", "/recommend/later"]
    with TestClient(create_app(settings)) as http:
        http.put("/tracks/song", content=song)
        plays = [{"user": user, "track": "song"} for user in ("user-1", "user-2", "later")]
        plays += [{"user": "later", "track": f"artist-{number}"} for number in (3, 5)]
        http.post("/plays", json={"plays": plays})
        before = [http.get(path).json() for path in ask]
    with TestClient(create_app(settings)) as http:
        assert [http.get(path).json() for path in ask] == before


def test_a_listener_given_by_artists_and_tracks(http: TestClient, song: bytes) -> None:
    http.put("/tracks/song", content=song)
    taste = {"artists": ["artist-4"], "tracks": ["song", "artist-9"]}
    tracks = http.post("/recommend", json=taste, params={"limit": 20}).json()["recommendations"]
    assert len(tracks) == 20
    assert not {"artist-4", "artist-9", "song"} & {track["track_id"] for track in tracks}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/recommend/nobody", None, 404, "the user nobody: unknown; POST their plays"),
        ("GET", "/tracks/nothing", None, 404, "nothing: unknown; PUT the audio"),
        ("GET", "/audience/nothing", None, 404, "nothing: unknown"),
        ("POST", "/recommend", {"artists": ["nothing"]}, 404, "nothing: unknown"),
        ("POST", "/recommend", {}, 422, "name one that the listener likes"),
        ("POST", "/plays", {"plays": []}, 422, "at least 1 item"),
        ("POST", "/plays", {"plays": [{"user": "u", "track": "t", "plays": 0}]}, 422, "equal to 1"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(
    http: TestClient, method: str, path: str, body: object, status: int, says: str
) -> None:
    refused = http.request(method, path, json=body)
    assert refused.status_code == status
    assert says in refused.text


def test_what_is_no_audio_is_refused_as_the_service_says(http: TestClient) -> None:
    refused = http.put("/tracks/song", content=b"These are words.\n" * 100)
    assert refused.status_code == 415
    assert "no decoder recognises the file" in refused.json()["detail"]
    assert http.get("/tracks/song").status_code == 404


def test_a_file_that_is_too_large_is_refused(http: TestClient) -> None:
    refused = http.put("/tracks/song", content=bytes(100_001))
    assert refused.status_code == 413
    assert "100000 bytes" in refused.json()["detail"]


def test_an_encoder_of_another_space_is_refused_with_both_names(
    settings: Settings, world: World, song: bytes, tmp_path: Path
) -> None:
    """The factorisation was made anew, and the service is on the old one's encoder."""
    other = World.plant(seed=1).factorization
    other.save(tmp_path / "other")
    later = settings.model_copy(update={"factors": tmp_path / "other"})
    with TestClient(create_app(later)) as http:
        refused = http.put("/tracks/song", content=song)
        assert refused.status_code == 409
        assert world.factorization.space[:12] in refused.json()["detail"]
        assert other.space[:12] in refused.json()["detail"]
        assert http.get("/tracks/song").status_code == 404


def test_songs_of_the_factorisation_before_are_refused_until_embedded_anew(
    settings: Settings, world: World, song: bytes, tmp_path: Path
) -> None:
    with TestClient(create_app(settings)) as http:
        http.put("/tracks/song", content=song)
    other = World.plant(seed=1).factorization
    other.save(tmp_path / "other")
    with TestClient(
        create_app(settings.model_copy(update={"factors": tmp_path / "other"}))
    ) as http:
        for refused in (http.get("/tracks/song"), http.get("/audience/song")):
            assert refused.status_code == 409
            assert world.factorization.space[:12] in refused.json()["detail"]
            assert other.space[:12] in refused.json()["detail"]
        answer = http.get("/recommend/user-0").json()
        assert answer["songs_of_other_spaces"] == 1
        assert "song" not in {track["track_id"] for track in answer["recommendations"]}


def test_without_the_service_songs_wait_and_all_else_answers(
    settings: Settings, song: bytes
) -> None:
    away = {"service_url": f"http://127.0.0.1:{free_port()}", "embed_timeout_s": 0.3}
    with TestClient(create_app(settings.model_copy(update=away))) as http:
        refused = http.put("/tracks/song", content=song)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert http.get("/recommend/user-0").status_code == 200
