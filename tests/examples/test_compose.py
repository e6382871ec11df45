"""docker-compose.yml end to end, as processes: a new song finds its listeners, whatever is killed.

The scenario runs on a planted world; with a fold of `make linear` also on recordings of artists
that neither its encoder nor its factorisation knows.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pandas as pd
import pytest

from tests.compose import Composition, composed, interpolate
from tests.examples.scenario import Scenario
from tests.examples.world import World
from tests.running import DEADLINE_S, ROOT
from training.cf.als import Factorization
from training.cf.logs import read_logs
from training.estimator.artist_split import load_split

FOLD = ROOT / "runs/linear/fold0"
DATA = ROOT.parent / "shared/data"
N_SONGS, MIN_LISTENERS = 12, 20


@contextmanager
def composition_of(
    folder: Path, models: Path, model: str, factors: Path
) -> Iterator[tuple[Composition, httpx.Client]]:
    """All that `docker compose up` starts, with other models and factors than the shipped ones."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    changes = {
        "service": {
            "TASTEPRINT_MODELS_DIR": str(models),
            "TASTEPRINT_DEFAULT_MODEL": model,
            "TASTEPRINT_DECODE_WORKERS": "1",
        },
        "recommender": {"RECOMMENDER_FACTORS": str(factors)},
    }
    with composed(folder, changes) as composition:
        url = composition["recommender"].url
        with httpx.Client(base_url=url, timeout=DEADLINE_S) as http:
            yield composition, http


def test_a_new_song_finds_its_listeners_whatever_is_killed(
    world: World, factors_folder: Path, tmp_path: Path
) -> None:
    world.write_encoder(tmp_path / "models")
    artists = {f"song-{artist}": artist for artist in world.held_out}
    songs = {
        track: world.song(tmp_path / f"{track}.wav", artist) for track, artist in artists.items()
    }
    listeners = {track: world.listeners(artist) for track, artist in artists.items()}
    users = list(world.factorization.users)
    with composition_of(tmp_path, tmp_path / "models", "planted", factors_folder) as started:
        Scenario(*started, songs, listeners, users).run()


@pytest.mark.skipif(
    not (FOLD / "cf-estimator").exists() or not DATA.exists(),
    reason="needs runs/linear/fold0 of `make linear`, and ../shared/data",
)
def test_recordings_of_held_out_artists_find_their_listeners(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/cf-estimator").symlink_to((FOLD / "cf-estimator").resolve())
    factors = Factorization.load(FOLD / "factors")
    songs, listeners = recordings_of_held_out_artists(factors)
    users = list(factors.users)
    with composition_of(tmp_path, tmp_path / "models", "cf-estimator", FOLD / "factors") as started:
        Scenario(*started, songs, listeners, users).run()


def recordings_of_held_out_artists(
    factors: Factorization,
) -> tuple[dict[str, bytes], dict[str, list[str]]]:
    """One recording of each of some artists of the fold's test part, and the artists' listeners."""
    split = load_split(FOLD / "split.csv")
    logs = read_logs(DATA / "lastfm-hetrec2011/user_artists.csv", item_column="artist_id")
    audio = {path.stem: path for path in (DATA / "mood-recordings/audio").iterdir()}
    is_test = (split["part"] == "test") & split["track_id"].isin(audio)
    test = split[is_test & split["item_id"].isin(logs.items)].drop_duplicates("item_id")
    users = pd.Index(logs.users)
    songs: dict[str, bytes] = {}
    listeners: dict[str, list[str]] = {}
    for track, item in test[["track_id", "item_id"]].itertuples(index=False):
        rows = logs.user_items[:, logs.items.get_loc(item)].nonzero()[0]
        known = [user for user in users[rows] if user in factors.users]
        if len(known) >= MIN_LISTENERS and len(songs) < N_SONGS:
            songs[track], listeners[track] = audio[track].read_bytes(), known
    return songs, listeners


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
        found = re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        known = {*names, *sys.stdlib_module_names, "examples", "tasteprint_client"}
        assert set(found) <= known, path
