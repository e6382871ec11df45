"""Training on labels: what is learnt, recorded, resumed and refused; no artist on two sides."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training.estimator.sets import is_quiet, make_set
from tests.training.networks.tiny_encoder import NAME, TinyEncoder
from tests.training.objectives.clips import make_tones
from training.audio.manifest import load_manifest
from training.audio.windows import Prepared
from training.errors import BadCrop, MissingInput, NoLabelledClips, OtherRun, TooFewLabels
from training.estimator.artist_split import split_by_artist
from training.fitting.space_figures import SPACE_DATA
from training.networks.sample_level import SampleLevelCNN
from training.tagging.labels import Labels
from training.tagging.settings import TaggingSettings
from training.tagging.train import load_network, train

pytestmark = pytest.mark.usefixtures("tiny_encoders")

ARTISTS = [f"artist {number}" for number in range(24)]
SETTINGS = {
    "encoder": NAME,
    "width": 4,
    "crop_s": 0.5,
    "batch_size": 4,
    "learning_rate": 0.1,
    "max_epochs": 12,
    "min_clips": 4,
    "accelerator": "cpu",
}


def by_loudness(tracks: pd.DataFrame) -> Labels:
    """Labels of the loudness of each clip, which tells its artist, and one that all have."""
    quiet = tracks["artist"].map(is_quiet).to_numpy()
    has = pd.DataFrame({"quiet": quiet, "loud": ~quiet}).astype(float)
    return Labels(has, np.ones(len(tracks), bool))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("sets") / "songs", dict.fromkeys(ARTISTS, 2))


@pytest.fixture(scope="module")
def split(prepared: Path) -> pd.DataFrame:
    return split_by_artist(load_manifest(prepared), validation=0.3)


@pytest.fixture(scope="module")
def trained(prepared: Path, split: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tagging"
    settings = TaggingSettings(**SETTINGS)  # type: ignore[arg-type]
    train(Prepared.load(prepared), split, by_loudness, out, settings, show_progress=False)
    return out


def test_labels_that_can_be_heard_are_learnt(trained: Path) -> None:
    log = pd.read_csv(next((trained / "logs").glob("*/metrics.csv")))
    found = log["val_top_label"].dropna()
    assert found.iloc[-1] > 0.9
    assert log["val_loss"].min() < 0.4
    counts = json.loads((trained / "labels.json").read_text())
    assert counts.keys() == {"quiet", "loud"}


def test_no_artist_is_on_two_sides(trained: Path, split: pd.DataFrame) -> None:
    clips = pd.read_csv(trained / "clips.csv")
    drawn = np.load(trained / SPACE_DATA)["names"].tolist()
    assert drawn == clips.loc[clips["part"] == "validation", "track_id"].tolist()
    assert (clips.groupby("artist")["part"].nunique() == 1).all()
    known = split.set_index("track_id")["part"]
    assert clips["part"].tolist() == known[clips["track_id"]].tolist()
    counts = json.loads((trained / "labels.json").read_text())
    assert sum(counts.values()) == (clips["part"] == "train").sum()


def test_the_network_of_a_run_is_the_encoder_alone(trained: Path, tmp_path: Path) -> None:
    network, settings = load_network(trained)
    assert isinstance(network, TinyEncoder)
    assert network.embedding_dim == network.features_dim == 8
    assert settings.max_labels == 50
    stored = torch.load(trained / "best.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(network.embed.weight, stored["network.embed.weight"])
    with pytest.raises(MissingInput, match="tasteprint-train tagging"):
        load_network(tmp_path)


def test_a_run_is_resumed_with_the_same_clips_and_labels_only(
    prepared: Path, split: pd.DataFrame, tmp_path: Path
) -> None:
    songs, short = Prepared.load(prepared), SETTINGS | {"max_epochs": 2}
    longer = TaggingSettings(**SETTINGS | {"max_epochs": 4})  # type: ignore[arg-type]
    for name, epochs in (("whole", longer), ("broken", TaggingSettings(**short))):  # type: ignore[arg-type]
        train(songs, split, by_loudness, tmp_path / name, epochs, show_progress=False)
    train(songs, split, by_loudness, tmp_path / "broken", longer, show_progress=False)
    networks = [load_network(tmp_path / name)[0] for name in ("whole", "broken")]
    for one, other in zip(*(network.state_dict().values() for network in networks), strict=True):
        torch.testing.assert_close(one, other)

    def otherwise(tracks: pd.DataFrame) -> Labels:
        labels = by_loudness(tracks)
        return Labels(labels.has.iloc[:, ::-1].set_axis(labels.names, axis=1), labels.is_known)

    with pytest.raises(OtherRun):
        train(songs, split, otherwise, tmp_path / "broken", longer, show_progress=False)


def test_the_sample_level_network_is_trained_on_segments_of_whole_windows(tmp_path: Path) -> None:
    tones = make_tones(12, 2)
    split = split_by_artist(tones.tracks, validation=0.5)
    settings = TaggingSettings(width=2, batch_size=4, max_epochs=1, min_clips=1, accelerator="cpu")

    def by_album(tracks: pd.DataFrame) -> Labels:
        has = pd.get_dummies(tracks["album"]).astype(float)
        return Labels(has, np.ones(len(tracks), bool))

    train(tones, split, by_album, tmp_path, settings, show_progress=False)
    network, _ = load_network(tmp_path)
    assert isinstance(network, SampleLevelCNN)
    assert network.audio.patches is not None
    assert network.embedding_dim == network.features_dim == 4
    n_clips = (split["part"] == "train").sum()
    stored = network.state_dict()
    for index in range(11):  # every layer has heard every batch
        assert stored[f"layers.{index}.1.num_batches_tracked"] == n_clips // 4


def test_clips_without_labels_and_rare_labels_are_refused(
    prepared: Path, split: pd.DataFrame, tmp_path: Path
) -> None:
    songs = Prepared.load(prepared)
    parts = split.set_index("track_id")["part"]

    def of_training_clips(tracks: pd.DataFrame) -> Labels:
        is_training = parts[tracks["track_id"]].to_numpy(str) == "train"
        return Labels(by_loudness(tracks).has, is_training)

    settings = TaggingSettings(**SETTINGS)  # type: ignore[arg-type]
    with pytest.raises(NoLabelledClips, match="'validation' has a label"):
        train(songs, split, of_training_clips, tmp_path, settings, show_progress=False)
    many = TaggingSettings(**SETTINGS | {"min_clips": 99})  # type: ignore[arg-type]
    with pytest.raises(TooFewLabels, match="lower --min-clips"):
        train(songs, split, by_loudness, tmp_path, many, show_progress=False)
    whole = TaggingSettings(**SETTINGS | {"crop_s": 0.0})  # type: ignore[arg-type]
    with pytest.raises(BadCrop):
        train(songs, split, by_loudness, tmp_path, whole, show_progress=False)
