"""Training on preference: what is learnt, the space, resumed runs, vectors of either kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from tests.training.estimator.sets import is_quiet, make_factors, make_set
from tests.training.networks.tiny_encoder import NAME
from training.audio.decoding import FULL_SCALE
from training.audio.manifest import load_manifest
from training.audio.windows import Prepared
from training.cf.logs import Logs
from training.datasets.artist_key import artist_key
from training.errors import HeldOutItems, MissingInput, OtherRun
from training.estimator.artist_split import items_of, split_by_artist
from training.fitting.space_figures import SPACE_DATA
from training.networks.preference_tower import PreferenceTower
from training.preference.settings import PreferenceSettings
from training.preference.train import Users, load_network, train
from training.users.vectors import UserVectors

pytestmark = pytest.mark.usefixtures("tiny_encoders")

ARTISTS = [f"artist {number}" for number in range(24)]
DIM, N_USERS = 3, 30
SETTINGS = PreferenceSettings(
    encoder=NAME, width=4, crop_s=0.5, learning_rate=0.05, max_epochs=15, accelerator="cpu"
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("sets") / "songs", dict.fromkeys(ARTISTS, 2))


@pytest.fixture(scope="module")
def split(prepared: Path) -> pd.DataFrame:
    return split_by_artist(load_manifest(prepared), validation=0.3)


@pytest.fixture(scope="module")
def logs() -> Logs:
    """Half of the users like quiet artists, half loud ones, and each has heard most of those."""
    rng = np.random.default_rng(0)
    quiet = np.array([is_quiet(artist) for artist in ARTISTS])
    likes = np.arange(N_USERS)[:, None] % 2 == quiet
    entries = likes & (rng.random((N_USERS, len(ARTISTS))) < 0.8)
    users = pd.Index([f"u{number}" for number in range(N_USERS)])
    items = pd.Index([artist_key(artist) for artist in ARTISTS])
    return Logs(sparse.csr_matrix(entries.astype(np.float32)), users, items, {})


@pytest.fixture(scope="module")
def users(logs: Logs, split: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Users:
    folder = tmp_path_factory.mktemp("users")
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(2, DIM))
    vectors = directions[np.arange(N_USERS) % 2] + 0.1 * rng.normal(size=(N_USERS, DIM))
    fitted = logs.items.difference(list(items_of(split, ["test"])))
    items = rng.normal(size=(len(fitted), DIM))
    made = UserVectors(vectors.astype(np.float32), items.astype(np.float32), logs.users, fitted)
    made.save(folder, {})
    return Users.load(folder)


@pytest.fixture(scope="module")
def trained(
    prepared: Path,
    split: pd.DataFrame,
    logs: Logs,
    users: Users,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("runs") / "preference"
    train(Prepared.load(prepared), split, logs, users, out, SETTINGS, show_progress=False)
    return out


def test_clips_by_unheard_artists_are_near_the_users_who_like_them(trained: Path) -> None:
    log = pd.read_csv(next((trained / "logs").glob("*/metrics.csv")))
    assert log["val_liked_first"].dropna().iloc[-1] > 0.9
    assert log["val_loss"].min() < 0.1
    clips = pd.read_csv(trained / "clips.csv")
    drawn = np.load(trained / SPACE_DATA)["names"].tolist()
    assert drawn == clips.loc[clips["part"] == "validation", "track_id"].tolist()
    assert (clips.groupby("artist")["part"].nunique() == 1).all()


def test_the_tower_hears_the_training_clips_scaled_by_their_own_numbers(
    prepared: Path, split: pd.DataFrame, logs: Logs, users: Users, tmp_path: Path
) -> None:
    settings = replace(
        SETTINGS, encoder="preference-tower", width=8, crop_s=3.0, max_epochs=1, learning_rate=0.0
    )
    audio = PreferenceTower.audio.model_copy(update={"patches": None})
    noise = Prepared.load(prepared)
    rng = np.random.default_rng(0)
    windows = rng.normal(0, 300, (len(noise.windows), audio.window_samples)).astype(np.int16)
    train(
        Prepared(windows, noise.tracks, audio),
        split,
        logs,
        users,
        tmp_path,
        settings,
        show_progress=False,
    )
    network, _ = load_network(tmp_path)
    assert isinstance(network, PreferenceTower)
    mel = network.make_front_end()(torch.from_numpy(windows[:8, :48_000]).float() / FULL_SCALE)
    assert float(network.input_mean) == pytest.approx(float(mel.mean()), abs=0.02)
    assert float(network.input_deviation) == pytest.approx(float(mel.std()), rel=0.05)


def test_the_run_states_the_space_of_its_users(trained: Path, users: Users) -> None:
    assert (trained / "space.txt").read_text().strip() == users.space
    network, settings = load_network(trained)
    assert network.embedding_dim == settings.embedding_dim == DIM


def test_factors_of_als_are_vectors_of_users_too(tmp_path: Path) -> None:
    factors = make_factors(ARTISTS)
    factors.save(tmp_path)
    found = Users.load(tmp_path)
    assert found.space == factors.space
    assert np.array_equal(found.vectors, factors.user_factors)
    assert found.items.equals(factors.items)
    with pytest.raises(MissingInput):
        Users.load(tmp_path / "nothing")


def test_vectors_of_users_that_know_a_test_artist_are_refused(
    prepared: Path, split: pd.DataFrame, logs: Logs, users: Users, tmp_path: Path
) -> None:
    held_out = sorted(items_of(split, ["test"]))
    known = replace(users, items=users.items.append(pd.Index(held_out[:1])))
    with pytest.raises(HeldOutItems, match=f"1 of the {len(held_out)} items .*{held_out[0]!r}"):
        train(Prepared.load(prepared), split, logs, known, tmp_path, SETTINGS)
    assert not any(tmp_path.iterdir())


def test_a_run_is_resumed_with_the_same_users_only(
    prepared: Path, split: pd.DataFrame, logs: Logs, users: Users, tmp_path: Path
) -> None:
    songs, longer = Prepared.load(prepared), replace(SETTINGS, max_epochs=4)
    short = replace(SETTINGS, max_epochs=2)
    for name, some in (("whole", longer), ("broken", short), ("broken", longer)):
        train(songs, split, logs, users, tmp_path / name, some, show_progress=False)
    networks = [load_network(tmp_path / name)[0] for name in ("whole", "broken")]
    for one, other in zip(*(network.state_dict().values() for network in networks), strict=True):
        torch.testing.assert_close(one, other)
    others = replace(users, vectors=-users.vectors, space="0" * 64)
    with pytest.raises(OtherRun):
        train(songs, split, logs, others, tmp_path / "broken", longer, show_progress=False)
