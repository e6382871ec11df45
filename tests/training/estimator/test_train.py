"""Training on several sets: losses apart, patches of whole windows, records of older runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from tests.training.estimator.sets import make_factors, make_set
from tests.training.networks.tiny_encoder import NAME, TinyEncoder
from training.audio.manifest import load_manifest
from training.audio.patch_cutting import cut_patches
from training.audio.prepared_sets import load_sets
from training.audio.windows import Prepared
from training.errors import BadCrop
from training.estimator.artist_split import load_split, split_by_artist
from training.estimator.clips import choose_clips
from training.estimator.settings import EstimatorSettings
from training.estimator.train import load_network, train
from training.evaluation.judged import load_run
from training.evaluation.sets import EvaluationSets
from training.fitting.space_figures import COSINES, MAP, NEIGHBOURS, SPACE_DATA
from training.networks.losses import embedding_loss

pytestmark = pytest.mark.usefixtures("tiny_encoders")

ARTISTS = [f"artist {number}" for number in range(24)]
FACTORS = make_factors(ARTISTS)
SETTINGS = {
    "encoder": NAME,
    "width": 4,
    "crop_s": 0.5,
    "max_epochs": 2,
    "batch_size": 8,
    "accelerator": "cpu",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two clips of every artist in one set, and five of every third in another."""
    folder = tmp_path_factory.mktemp("sets")
    return [
        make_set(folder / "renderings", dict.fromkeys(ARTISTS, 2)),
        make_set(folder / "recordings", dict.fromkeys(ARTISTS[::3], 5), seed=1),
    ]


@pytest.fixture(scope="module")
def prepared(folders: list[Path]) -> Prepared:
    return load_sets(folders)


@pytest.fixture(scope="module")
def split(folders: list[Path]) -> pd.DataFrame:
    tracks = pd.concat([load_manifest(folder) for folder in folders], ignore_index=True)
    return split_by_artist(tracks, validation=0.3)


@pytest.fixture(scope="module")
def trained(
    prepared: Prepared, split: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run on both sets, balanced, that hears two patches of whole windows."""
    out = tmp_path_factory.mktemp("runs") / "both"
    settings = EstimatorSettings(
        **SETTINGS,  # type: ignore[arg-type]
        patches=2,
        patch_s=0.5,
        balance=True,
        epoch_clips=32,
    )
    train(prepared, FACTORS, split, out, settings)
    return out


def embed(run: Path, folders: list[Path], track_ids: pd.Series) -> NDArray[np.float32]:
    """Embeddings of tracks, as the evaluation of the run computes them."""
    sets = EvaluationSets.load(folders)
    positions = pd.Index(sets.tracks["track_id"]).get_indexer(pd.Index(track_ids))
    return load_run(run).embed(sets, positions, lambda label, starts: starts)


def read_log(run: Path) -> pd.DataFrame:
    return pd.concat([pd.read_csv(log) for log in sorted((run / "logs").glob("*/metrics.csv"))])


def test_the_validation_loss_is_the_mean_over_the_sets(
    trained: Path, folders: list[Path], prepared: Prepared, split: pd.DataFrame
) -> None:
    log = read_log(trained).dropna(subset=["val_loss"])
    names = ("renderings", "recordings")
    for measure in ("val_loss", "val_cosine"):
        parts = log[[f"{measure}/{name}" for name in names]]
        np.testing.assert_allclose(log[measure], parts.mean(axis=1), atol=1e-6)
    clips = choose_clips(prepared.tracks, split, "validation", FACTORS, "unit")
    best = log.loc[log["val_loss"] == log["val_loss"].min()].iloc[0]
    predicted = torch.from_numpy(embed(trained, folders, clips.tracks["track_id"]))
    for index, name in enumerate(names):
        chosen = torch.from_numpy(clips.set_index == index)
        assert chosen.any()
        loss = embedding_loss(predicted[chosen], torch.from_numpy(clips.factors)[chosen])
        assert best[f"val_loss/{name}"] == pytest.approx(float(loss), abs=1e-5)


def test_a_run_has_pictures_of_what_its_best_network_makes_of_the_validation_clips(
    trained: Path, folders: list[Path], prepared: Prepared, split: pd.DataFrame
) -> None:
    clips = choose_clips(prepared.tracks, split, "validation", FACTORS, "unit")
    drawn = np.load(trained / SPACE_DATA)
    assert drawn["names"].tolist() == clips.tracks["track_id"].tolist()
    expected = embed(trained, folders, clips.tracks["track_id"])
    np.testing.assert_allclose(drawn["predicted"], expected, atol=1e-5)
    np.testing.assert_array_equal(drawn["targets"], clips.factors)
    assert drawn["group/artist"].tolist() == clips.tracks["artist"].tolist()
    for name in ("curves.svg", MAP, COSINES, NEIGHBOURS, "environment.json"):
        assert (trained / name).stat().st_size


def test_the_network_of_a_run_hears_its_patches(
    trained: Path, folders: list[Path], prepared: Prepared
) -> None:
    network, settings = load_network(trained)
    assert network.audio == TinyEncoder.patched_audio(2, 0.5)
    assert (settings.patches, settings.patch_s) == (2, 0.5)
    tracks = prepared.tracks.iloc[:3]
    found = embed(trained, folders, tracks["track_id"])
    waveforms = cut_patches(prepared, network.audio).waveforms(tracks["row"].to_numpy())
    patches = torch.from_numpy(waveforms).reshape(6, -1)
    with torch.no_grad():
        expected = network(network.make_front_end()(patches)).embedding.reshape(3, 2, -1).mean(1)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_a_set_alone_trains_as_before_there_were_several(
    folders: list[Path], split: pd.DataFrame, tmp_path: Path
) -> None:
    settings = EstimatorSettings(**SETTINGS)  # type: ignore[arg-type]
    identities = []
    for name, prepared in (("one", Prepared.load(folders[0])), ("list", load_sets(folders[:1]))):
        train(prepared, FACTORS, split, tmp_path / name, settings)
        identities.append((tmp_path / name / "identity.json").read_text())
        log = read_log(tmp_path / name)
        assert not [column for column in log if "/" in column]
    assert identities[0] == identities[1]
    record = json.loads((tmp_path / "one" / "settings.json").read_text())
    assert not record.keys() & {"patches", "patch_s", "balance", "epoch_clips"}
    # A run of an older version: its checkpoint states neither patches nor their length.
    checkpoint = torch.load(tmp_path / "one" / "best.ckpt", weights_only=True)
    for added in ("patches", "patch_s"):
        del checkpoint["hyper_parameters"][added]
    torch.save(checkpoint, tmp_path / "one" / "best.ckpt")
    network, _ = load_network(tmp_path / "one")
    assert network.audio == TinyEncoder.audio
    assert load_split(tmp_path / "one" / "split.csv").equals(split.reset_index(drop=True))


def test_a_crop_longer_than_a_patch_is_refused(
    prepared: Prepared, split: pd.DataFrame, tmp_path: Path
) -> None:
    settings = EstimatorSettings(**SETTINGS, patches=2, patch_s=0.25)  # type: ignore[arg-type]
    with pytest.raises(BadCrop, match=r"at most 0\.25 s, the length of the patches"):
        train(prepared, FACTORS, split, tmp_path, settings)
