"""docker-compose.yml end to end, as processes: a new song finds its listeners, whatever is killed.

The scenario runs on a planted world; with the folds of `make linear` it runs on real songs too.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compose import Composition, composed, interpolate
from tests.examples.world import World
from tests.running import DEADLINE_S, ROOT

LIMIT = 10


@pytest.fixture(scope="module")
def composition(
    world: World, factors_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composition]:
    """All that `docker compose up` starts, with the planted world in place of the shipped one."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    folder = tmp_path_factory.mktemp("compose")
    world.write_encoder(folder / "models")
    changes = {
        "service": {
            "TASTEPRINT_MODELS_DIR": str(folder / "models"),
            "TASTEPRINT_DEFAULT_MODEL": "planted",
            "TASTEPRINT_DECODE_WORKERS": "1",
        },
        "recommender": {"RECOMMENDER_FACTORS": str(factors_folder)},
    }
    with composed(folder, changes) as composition:
        yield composition


@pytest.fixture
def http(composition: Composition) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=composition["recommender"].url, timeout=DEADLINE_S) as http:
        yield http


def put(http: httpx.Client, world: World, folder: Path, artist: int) -> None:
    audio = world.song(folder / f"{artist}.wav", artist)
    answer = http.put(f"/tracks/song-{artist}", content=audio)
    assert answer.status_code == 200, answer.text


def shown(http: httpx.Client, user: str) -> set[str]:
    answer = http.get(f"/recommend/{user}", params={"limit": LIMIT}).json()
    return {track["track_id"] for track in answer["recommendations"]}


def share_shown(http: httpx.Client, users: list[str], track: str) -> float:
    """Share of the users who have the track among their first ten."""
    return sum(track in shown(http, user) for user in users) / len(users)


def restart(composition: Composition, name: str) -> None:
    composition[name].start()
    composition[name].wait_until_healthy()


def test_a_new_song_finds_its_listeners_whatever_is_killed(
    composition: Composition, http: httpx.Client, world: World, tmp_path: Path
) -> None:
    songs = world.held_out
    everybody = [f"user-{number}" for number in range(len(world.listens))]
    for artist in songs[:6]:
        put(http, world, tmp_path, artist)

    composition["redis"].kill()  # only a cache
    for artist in songs[6:]:
        put(http, world, tmp_path, artist)
    restart(composition, "redis")

    # At once, before any play: its listeners see a song more often than the others do.
    own, others = [], []
    for artist in songs:
        listeners = set(world.listeners(artist))
        own.append(share_shown(http, sorted(listeners), f"song-{artist}"))
        strangers = [user for user in everybody[::4] if user not in listeners]
        others.append(share_shown(http, strangers, f"song-{artist}"))
    chance = 1 / len(songs)  # one place, twelve songs
    assert sum(own) / len(own) > 2 * chance
    assert sum(own) / len(own) > 2 * sum(others) / len(others)

    # Without the service all but a new song goes on, and plays move a song.
    composition["service"].kill()
    artist = min(songs, key=lambda artist: own[songs.index(artist)])
    track, listeners = f"song-{artist}", world.listeners(artist)
    seen, rest = listeners[: len(listeners) // 2], listeners[len(listeners) // 2 :]
    before = http.get(f"/audience/{track}", params={"limit": 240}).json()["users"]
    plays = [{"user": user, "track": track} for user in seen]
    assert http.post("/plays", json={"plays": plays}).status_code == 200
    after = http.get(f"/audience/{track}", params={"limit": 240}).json()["users"]
    assert mean_rank(after, rest) < mean_rank(before, rest)
    assert http.get(f"/tracks/{track}").json()["sound"] < 0.9
    restart(composition, "service")

    # Killed between two requests, the recommender has lost nothing.
    composition["recommender"].kill()
    restart(composition, "recommender")
    assert http.get(f"/audience/{track}", params={"limit": 240}).json()["users"] == after
    assert http.get(f"/tracks/{track}").json()["n_listeners"] == len(seen)
    put(http, world, tmp_path, songs[0])


def mean_rank(audience: list[dict[str, object]], users: list[str]) -> float:
    ranks = {str(entry["user"]): rank for rank, entry in enumerate(audience)}
    return sum(ranks[user] for user in users) / len(users)


def test_values_are_interpolated_as_compose_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_TEST_SET", "set")
    monkeypatch.setenv("COMPOSE_TEST_EMPTY", "")
    assert interpolate("a-${COMPOSE_TEST_SET:-default}-z") == "a-set-z"
    assert interpolate("${COMPOSE_TEST_EMPTY:-default}") == "default"
    assert interpolate("${COMPOSE_TEST_NONE:-${COMPOSE_TEST_SET:-x}}") == "set"
    assert interpolate("${COMPOSE_TEST_NONE:-${COMPOSE_TEST_EMPTY:-}}") == ""


def test_the_image_installs_what_the_repository_tests_with() -> None:
    lines = (ROOT / "examples/recommender/requirements.txt").read_text().split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested = {*project["dependencies"], *project["optional-dependencies"]["train"]}
    tested |= {*project["optional-dependencies"]["dev"]}
    assert set(lines) <= tested
    client = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]
    assert set(client["dependencies"]) <= set(lines)  # it is installed without dependencies


def test_the_image_holds_every_import_of_the_recommender() -> None:
    names = {
        re.split(r"[<>=]", line)[0].replace("-", "_")
        for line in (ROOT / "examples/recommender/requirements.txt").read_text().split()
    }
    for path in (ROOT / "examples/recommender").glob("*.py"):
        if path.name == "evaluate.py":  # measures with the training code, from the repository
            continue
        found = re.findall(r"^(?:from|import) ([a-z_]+)", path.read_text(), re.MULTILINE)
        known = {*names, *sys.stdlib_module_names, "examples", "tasteprint_client"}
        assert set(found) <= known, path
